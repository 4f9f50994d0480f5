/** One thing that is wrong with a migration file, and how it is written in a terminal. */
export interface FileProblem {
  file: string;
  /** Both count from 1; absent where there is no text, such as a file that is not there. */
  line?: number;
  column?: number;
  /** `switch[1].run`; empty for the file as a whole. */
  path: string;
  /** What is wrong and what is expected, without file, position and path. Never holds a secret. */
  message: string;
}

/** `redis.yaml:5:3: source.port: got "x", expected a whole number`. */
export function problemText(problem: FileProblem): string {
  const position = problem.line === undefined ? '' : `:${problem.line}:${problem.column}`;
  return `${problem.file}${position}: ${problem.path === '' ? '' : `${problem.path}: `}${problem.message}`;
}

/** `['switch', 1, 'env', 'a b']` → `switch[1].env["a b"]`. */
export function pathText(path: readonly PropertyKey[]): string {
  let text = '';
  for (const part of path) {
    if (typeof part === 'number') text += `[${part}]`;
    else if (/^[\w-]+$/.test(String(part))) text += text === '' ? String(part) : `.${String(part)}`;
    else text += `[${JSON.stringify(shorten(String(part), 40))}]`;
  }
  return text;
}

/** At most `length` characters, the cut shown. */
export function shorten(text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, length - 1)}…`;
}
