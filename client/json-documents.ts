/** `{ file: name.json }` in a migration's file: a JSON document that lies beside it, such as DMS's own table mappings. */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';

/** Where a file may name a document. */
const PLACES = [
  ['replication', 'tableMappings'],
  ['replication', 'taskSettings'],
] as const;

/** It goes into the workflow's argument, which Temporal limits. */
const LARGEST = 256 * 1024;

export interface DocumentProblem {
  path: readonly string[];
  message: string;
}

/** Puts the documents' contents where the file names them. @returns what is wrong with those that can't be read. */
export function readDocuments(source: unknown, folder: string): DocumentProblem[] {
  const problems: DocumentProblem[] = [];
  for (const place of PLACES) {
    const parent = fieldsOf(fieldsOf(source)?.[place[0]]);
    const named = fieldsOf(parent?.[place[1]])?.['file'];
    if (!parent || typeof named !== 'string') continue;
    const path = resolve(folder, named);
    try {
      parent[place[1]] = readDocument(path);
    } catch (error) {
      problems.push({ path: [...place, 'file'], message: `${path}: ${(error as Error).message}` });
      // The document is checked once it can be read.
      delete parent[place[1]];
    }
  }
  return problems;
}

function readDocument(path: string): Record<string, unknown> {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new Error(`can not be read (${(error as NodeJS.ErrnoException).code ?? 'unknown error'})`, { cause: error });
  }
  if (text.length > LARGEST) throw new Error(`has ${text.length} characters, expected at most ${LARGEST}`);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new Error(`is not JSON: ${(error as Error).message}`, { cause: error });
  }
  const fields = fieldsOf(value);
  if (!fields) throw new Error('expected a JSON object');
  return fields;
}

function fieldsOf(value: unknown): Record<string, unknown> | undefined {
  const isFields = typeof value === 'object' && value !== null && !Array.isArray(value);
  return isFields ? (value as Record<string, unknown>) : undefined;
}
