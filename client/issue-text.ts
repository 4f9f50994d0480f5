/** What the schema finds wrong, said as `got <value>, expected <…>` with what mends it. */
import type { z } from 'zod';
import { NOT_SCHEDULED } from '../spec/schedule.ts';
import { descriptionAt, fieldsAt, sectionsWith } from './file-fields.ts';
import { mayBeSecret, shownPath, shownValue } from './shown-value.ts';
import { pathText } from './file-problem.ts';
import { nearestName } from './nearest-name.ts';

type Path = readonly PropertyKey[];
type Issue = z.core.$ZodIssue;

export interface ValueProblem {
  path: Path;
  /** The path as it may be shown. */
  shown: string;
  message: string;
  /** Where in the text it belongs: at the value, at the field's name, or at the parent's name. */
  at: 'value' | 'key' | 'parent';
  /** What the value, or the field's name, was most likely meant to be. */
  meant?: string;
  /** What may be there instead, where the rest of the file depends on it (`kind`, `engine`, `type`). */
  choices?: string[];
}

/** All problems of `file`, unions resolved to the branch that was most likely meant, one problem per field. */
export function valueProblems(issues: readonly Issue[], file: unknown): ValueProblem[] {
  const seen = new Set<string>();
  return issues
    .flatMap((issue) => resolved(issue, file, []))
    .flatMap((issue) => toProblems(issue, file))
    .filter(({ path }) => !seen.has(JSON.stringify(path)) && seen.add(JSON.stringify(path)));
}

/**
 * A union reports the faults of all its branches. The branch that was meant is the one mapping (or list) whose own
 * fields fit best; where none does, the union's own sentence says it all.
 */
function resolved(issue: Issue, file: unknown, prefix: Path): Issue[] {
  const path = [...prefix, ...issue.path];
  if (issue.code !== 'invalid_union' || issue.errors.length === 0) return [{ ...issue, path }];
  const value = valueAt(file, path);
  if (typeof value !== 'object' || value === null) return [{ ...issue, path }];
  const ranked = issue.errors
    .filter((errors) => !errors.some((error) => error.path.length === 0 && wrongShape(error)))
    .map((errors) => ({ errors, off: errors.filter((error) => misses(error, value)).length }))
    .sort((a, b) => a.off - b.off);
  const [best, second] = ranked;
  if (!best || (second && second.off <= best.off)) return [{ ...issue, path }];
  return best.errors.flatMap((error) => resolved(error, file, path));
}

const wrongShape = (issue: Issue) => issue.code === 'invalid_type' || issue.code === 'invalid_value';
const misses = (issue: Issue, value: object) =>
  issue.code === 'unrecognized_keys' || issue.path.some((part) => !Object.hasOwn(value, part));

function toProblems(issue: Issue, file: unknown): ValueProblem[] {
  const path = issue.path;
  if (issue.code === 'unrecognized_keys') return issue.keys.map((key) => unknownField([...path, key], file));
  const value = valueAt(file, path);
  const expected = expectedText(issue);
  const open = discriminated(issue) ? { choices: choices(issue) } : {};
  if (value === undefined) {
    // The schema stops at a missing `kind`, `engine` or `type`, before it would tell of the mistyped one.
    const mistyped =
      discriminated(issue) && nearestName(String(path.at(-1)), Object.keys(valueAt(file, path.slice(0, -1))!));
    if (mistyped) {
      const typed = [...path.slice(0, -1), mistyped];
      const meant = String(path.at(-1));
      return [
        {
          path: typed,
          shown: shownPath(typed),
          message: `unknown field; did you mean \`${meant}\`?`,
          at: 'key',
          meant,
        },
      ];
    }
    const description = descriptionAt(path, file);
    const message = `missing, expected ${expected}${description && !expected.includes(description) ? ` (${description})` : ''}`;
    return [{ path, shown: shownPath(path), message, at: 'parent', ...open }];
  }
  const meant = typeof value === 'string' ? nearestName(value, choices(issue)) : undefined;
  const mend = meant === undefined ? howToWrite(issue, value, path) : `did you mean \`${meant}\`?`;
  // A rule about a mapping as a whole: the rule says what is wrong, "a mapping" would not.
  const got = issue.code === 'custom' && typeof value === 'object' ? '' : `got ${shownValue(value, path)}, `;
  const message = `${got}expected ${expected}${mend ? `; ${mend}` : ''}`;
  return [{ path, shown: shownPath(path), message, at: 'value', ...(meant === undefined ? open : { meant }) }];
}

function unknownField(path: Path, file: unknown): ValueProblem {
  if (path.length === 1 && path[0] === 'schedule') {
    const message = `${shownValue(valueAt(file, ['kind']), ['kind'])} has no schedule: ${NOT_SCHEDULED}`;
    return { path, shown: shownPath(path), message: message.replaceAll('"', ''), at: 'key' };
  }
  const parent = path.slice(0, -1);
  const there = valueAt(file, parent) ?? {};
  const known = fieldsAt(parent, file);
  const free = known.filter((name) => !Object.hasOwn(there, name));
  const name = String(path.at(-1));
  const meant = nearestName(name, free);
  const section = meant === undefined ? sectionsWith(name, file).filter((title) => title !== parent[0]) : [];
  let mend = '';
  if (meant !== undefined) mend = `; did you mean \`${meant}\`?`;
  else if (nearestName(name, known)) mend = `; did you mean \`${nearestName(name, known)}\`? It is there already`;
  else if (section.length > 0) mend = `; it belongs under ${section.map((title) => `\`${title}\``).join(' or ')}`;
  else if (free.length > 0) mend = `; expected ${list(free)}`;
  const message = `unknown field${mend}`;
  return { path, shown: shownPath(path), message, at: 'key', ...(meant === undefined ? {} : { meant }) };
}

const TYPES: Record<string, string> = {
  string: 'text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'a mapping (indented `name: value` lines)',
  record: 'a mapping (indented `name: value` lines)',
};

/** What is expected, as a phrase that follows "expected". The schema's own sentence where it has one. */
function expectedText(issue: Issue): string {
  if (issue.message.startsWith('expected ')) return issue.message.slice('expected '.length);
  switch (issue.code) {
    case 'invalid_type':
      return TYPES[issue.expected] ?? issue.expected;
    case 'invalid_value':
      return list(issue.values.map(String));
    case 'too_small':
      return sizeText(issue.origin, Number(issue.minimum), issue.inclusive === false ? 'more than' : 'at least');
    case 'too_big':
      return sizeText(issue.origin, Number(issue.maximum), issue.inclusive === false ? 'less than' : 'at most');
    case 'invalid_union': {
      const discriminator = issue.path.at(-1);
      if (discriminated(issue)) return `a ${String(discriminator)}: ${list(choices(issue))}`;
      return [...new Set(issue.errors.map(([first]) => (first ? expectedText(first) : '')))]
        .filter(Boolean)
        .join(', or ');
    }
    default:
      return `something else (${issue.message})`;
  }
}

/** A union told apart by a field (`kind`, `engine`, `type`) whose value is missing or fits no branch. */
const discriminated = (issue: Issue) => issue.code === 'invalid_union' && issue.errors.length === 0;

function sizeText(origin: string, size: number, bound: string): string {
  if (origin === 'string') return size === 1 ? 'text that is not empty' : `${bound} ${size} characters`;
  if (origin === 'array') return `a list of ${bound} ${size === 1 ? 'one' : size}`;
  return `${bound} ${size}`;
}

function choices(issue: Issue): string[] {
  if (issue.code === 'invalid_value') return issue.values.map(String);
  if (discriminated(issue)) return ((issue as { options?: unknown[] }).options ?? []).map(String);
  if (issue.code === 'invalid_union') return issue.errors.flat().flatMap(choices);
  return [];
}

/** The mend of the commonest slips: quotes too many, quotes too few, a number without its unit, `yes`. */
function howToWrite(issue: Issue, value: unknown, path: Path): string | undefined {
  const wants = issue.code === 'invalid_type' ? issue.expected : undefined;
  if (/a duration such as/.test(issue.message) && typeof value === 'number')
    return `a number needs its unit: ${value}s`;
  if ((wants === 'number' || wants === 'int') && typeof value === 'string' && /^\d+$/.test(value))
    return 'leave the quotes out';
  if (wants === 'string' && !/date/.test(issue.message) && (typeof value === 'number' || typeof value === 'boolean'))
    return 'put it in quotes';
  if (typeof value === 'string' && /^(yes|on|no|off)$/i.test(value) && wantsBoolean(issue))
    return `write ${/^(yes|on)$/i.test(value) ? 'true' : 'false'}`;
  if (wants === 'array' && typeof value === 'string' && value.trim() !== '' && !mayBeSecret(path)) {
    return pathText(path).endsWith('run')
      ? 'write one item per word: [program, argument]'
      : 'write it as a list: [ … ]';
  }
  return undefined;
}

const wantsBoolean = (issue: Issue): boolean =>
  (issue.code === 'invalid_type' && issue.expected === 'boolean') ||
  (issue.code === 'invalid_union' && issue.errors.flat().some(wantsBoolean));

function list(names: readonly string[]): string {
  return names.length < 2 ? (names[0] ?? 'nothing') : `${names.slice(0, -1).join(', ')} or ${names.at(-1)}`;
}

/** The value of `file` at `path`; undefined where there is none. Own fields only: `__proto__` is a name like any other. */
export function valueAt(file: unknown, path: Path): unknown {
  let value = file;
  for (const part of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, part)) return undefined;
    value = (value as Record<PropertyKey, unknown>)[part];
  }
  return value;
}
