/** Reads a migration's file. All that is wrong with it is said at once, each with file:line:column and a mend. */
import { readFile, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { z } from 'zod';
import { migrationFile, type Migration } from '../spec/migration.ts';
import { WrongFile } from './errors.ts';
import type { FileProblem } from './file-problem.ts';
import { valueAt, valueProblems, type ValueProblem } from './issue-text.ts';
import { readDocuments } from './json-documents.ts';
import { readYaml, type Position } from './yaml-text.ts';

/** A migration as its file (or a script) writes it: durations as `30s`, defaults left out. */
export type MigrationSource = z.input<typeof migrationFile>;

/** A file of more is no runbook, and would come near the size that Temporal takes as a workflow's argument. */
export const LARGEST_FILE = 256 * 1024;

const START = { line: 1, column: 1 };

/**
 * Reads and checks the file at `path`.
 * @throws WrongFile with every problem.
 */
export async function loadMigrationFile(path: string): Promise<Migration> {
  const refuse = (message: string) => new WrongFile(path, [{ file: path, path: '', message }]);
  let bytes: Buffer;
  try {
    const found = await stat(path);
    if (found.isDirectory()) throw refuse('is a folder; name the file of one migration');
    if (found.size > LARGEST_FILE)
      throw refuse(`is ${found.size} bytes; a migration's file has at most ${LARGEST_FILE}: is it the right file?`);
    bytes = await readFile(path);
  } catch (error) {
    if (error instanceof WrongFile) throw error;
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') throw refuse(`no such file (looked from ${process.cwd()})`);
    if (code === 'EACCES' || code === 'EPERM') throw refuse('may not be read by this user');
    throw refuse(`can not be read (${code ?? 'unknown error'})`);
  }
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw refuse('is not UTF-8 text; is it the right file?');
  }
  return parseMigration(text, path, dirname(path));
}

/**
 * Checks the text of a file; `name` is how messages call it, and `folder` is where the documents are that it names.
 * @throws WrongFile with every problem.
 */
export function parseMigration(text: string, name: string, folder = '.'): Migration {
  const wrong = (problems: (Position & { message: string; path?: string })[]) =>
    new WrongFile(
      name,
      problems
        .map(({ line, column, message, path }): FileProblem => ({
          file: name,
          line,
          column,
          path: path ?? '',
          message,
        }))
        .sort((a, b) => a.line! - b.line! || a.column! - b.column!),
    );
  if (text.includes('\0')) throw wrong([{ ...START, message: 'is not text; is it the right file?' }]);
  const yaml = readYaml(text);
  if (yaml.value === null && yaml.problems.length === 0)
    throw wrong([{ ...START, message: 'the file is empty; see examples/, or begin with kind: redis-online' }]);
  if (yaml.value === undefined) throw wrong(yaml.problems);
  if (typeof yaml.value !== 'object' || yaml.value === null || Array.isArray(yaml.value)) {
    const what = Array.isArray(yaml.value) ? 'a list' : 'a single value';
    const message = `the file is ${what}, expected a mapping that begins with kind: redis-online`;
    throw wrong([...yaml.problems, { ...yaml.position([]), message }]);
  }
  const documents = readDocuments(yaml.value, folder).map((problem) => ({
    ...yaml.position(problem.path),
    path: problem.path.join('.'),
    message: problem.message,
  }));
  const { migration, problems } = check(yaml.value);
  const placed = problems.map((problem) => ({
    ...(problem.at === 'parent'
      ? yaml.position(problem.path.slice(0, -1), 'key')
      : yaml.position(problem.path, problem.at === 'key' ? 'key' : undefined)),
    path: problem.shown,
    message: problem.message,
  }));
  const all = [...yaml.problems, ...documents, ...placed];
  if (!migration || all.length > 0) throw wrong(all);
  return migration;
}

/**
 * Checks a migration that a script wrote as an object of the file's form.
 * @throws WrongFile with every problem; they have a path but no position.
 */
export function checkMigration(source: MigrationSource): Migration {
  const { migration, problems } = check(source);
  if (migration) return migration;
  const name = 'the migration';
  throw new WrongFile(
    name,
    problems.map(({ shown, message }) => ({ file: name, path: shown, message })),
  );
}

interface Renamed {
  parent: readonly PropertyKey[];
  from: PropertyKey;
  to: string;
}

function check(source: unknown): { migration?: Migration; problems: ValueProblem[] } {
  const parsed = migrationFile.safeParse(source);
  if (parsed.success) return { migration: parsed.data, problems: [] };
  const renamed: Renamed[] = [];
  const problems = allProblems(source, renamed, DEEPEST_GUESS);
  // A missing field whose mistyped name is there is one problem, not two.
  const named = problems.filter(
    ({ path, at }) => at !== 'parent' || !renamed.some(({ parent, to }) => samePath([...parent, to], path)),
  );
  return { problems: named.map((problem) => ({ ...problem, path: asWritten(problem.path, renamed) })) };
}

/** Each guess may uncover another: `kind`, then `engine`, then a hook's `type`, then the fields within. */
const DEEPEST_GUESS = 4;

/**
 * A mistyped name hides whatever else is wrong: below `sorce`, or with `kind: redis-onlin`, nothing would be checked. So
 * what was most likely meant is put in its place in a copy, which is checked again, for all problems in one go. Where
 * nothing tells what was meant, every choice is tried, and what is wrong with all of them is wrong.
 */
function allProblems(source: unknown, renamed: Renamed[], guesses: number): ValueProblem[] {
  const parsed = migrationFile.safeParse(source);
  if (parsed.success) return [];
  const problems = valueProblems(parsed.error.issues, source);
  if (guesses === 0) return problems;
  const copy = cloned(source);
  const repaired = problems.filter((problem) => repair(copy, problem, renamed));
  const more =
    repaired.length > 0 ? allProblems(copy, renamed, guesses - 1) : withEachChoice(source, problems, guesses);
  return [...problems, ...more.filter((found) => !problems.some((known) => samePath(known.path, found.path)))];
}

function repair(copy: unknown, { path, at, meant }: ValueProblem, renamed: Renamed[]): boolean {
  const parent = valueAt(copy, path.slice(0, -1)) as Record<PropertyKey, unknown> | undefined;
  const name = path.at(-1)!;
  if (meant === undefined || !parent || !Object.hasOwn(parent, name)) return false;
  if (at === 'value') {
    parent[name] = meant;
    return true;
  }
  if (Object.hasOwn(parent, meant)) return false;
  parent[meant] = parent[name];
  delete parent[name];
  renamed.push({ parent: path.slice(0, -1), from: name, to: meant });
  return true;
}

function withEachChoice(source: unknown, problems: ValueProblem[], guesses: number): ValueProblem[] {
  const open = problems.find(({ choices, path }) => choices && typeof valueAt(source, path.slice(0, -1)) === 'object');
  if (!open) return [];
  const [first = [], ...others] = open.choices!.map((choice) => {
    const copy = cloned(source);
    (valueAt(copy, open.path.slice(0, -1)) as Record<PropertyKey, unknown>)[open.path.at(-1)!] = choice;
    return allProblems(copy, [], guesses - 1);
  });
  return first.filter(({ path, message }) =>
    others.every((found) => found.some((other) => other.message === message && samePath(other.path, path))),
  );
}

/** As JSON, which all of a migration is: a script's object may hold functions or a prototype of its own. */
const cloned = (source: unknown): unknown => JSON.parse(JSON.stringify(source ?? null));

/** What was found below a mistyped name stands, in the text, below that name. */
function asWritten(path: readonly PropertyKey[], renamed: readonly Renamed[]): PropertyKey[] {
  return path.map((part, depth) => {
    const was = renamed.find(({ parent, to }) => to === part && samePath(parent, path.slice(0, depth)));
    return was ? was.from : part;
  });
}

const samePath = (a: readonly PropertyKey[], b: readonly PropertyKey[]) => JSON.stringify(a) === JSON.stringify(b);
