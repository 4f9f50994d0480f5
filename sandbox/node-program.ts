import { createRequire } from 'node:module';
import { fileURLToPath, pathToFileURL } from 'node:url';

export interface NodeProgram {
  command: string;
  args: string[];
}

/**
 * How to run one of this repo's files as a program of its own: compiled where we run compiled, with tsx where we run from the
 * sources (tests, `tsx`).
 * @param path from the repo's root (or dist), without extension: `client/cli/main`
 */
export function nodeProgram(path: string): NodeProgram {
  const sources = import.meta.url.endsWith('.ts');
  const file = fileURLToPath(new URL(`../${path}${sources ? '.ts' : '.js'}`, import.meta.url));
  if (!sources) return { command: process.execPath, args: [file] };
  const loader = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href;
  return { command: process.execPath, args: ['--import', loader, file] };
}
