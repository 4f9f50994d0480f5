/** One try of an SQL check, in a read-only transaction that is rolled back. */
import type { z } from 'zod';
import type { sqlCheck } from '../../spec/checks.ts';
import { redact } from '../secrets/redact.ts';
import { sessionName, withPostgres } from '../postgres/connect.ts';
import type { Attempt, Finding } from './functional-checks.ts';

type Cell = string | number | boolean | null;

/** Of values, in an error, characters. */
const SHOWN = 300;
/** More rows than are expected are shown as a count. */
const ROWS_SHOWN = 5;

/** Values are compared as Postgres writes them (`t`, `1.50`), so that no driver's type comes between. */
export async function sqlFinding(check: z.output<typeof sqlCheck>, { migration, leftMs }: Attempt): Promise<Finding> {
  const wanted = Array.isArray(check.expect) ? check.expect.map((row) => row.map(asText)) : [[asText(check.expect)]];
  const options = {
    name: sessionName(migration.id, 'check'),
    aws: migration.aws,
    statementTimeoutMs: Math.max(1, Math.ceil(leftMs)),
  };
  const got = await withPostgres(migration[check.on], options, async (client) => {
    // The application's own search path decides what a bare name in its query means; ours is empty.
    await client.query('RESET search_path');
    await client.query('BEGIN TRANSACTION READ ONLY');
    // `extended` takes one statement and no more: none that would end the transaction and go on without it.
    const query = {
      text: check.query,
      rowMode: 'array' as const,
      queryMode: 'extended',
      types: { getTypeParser: () => (value: string) => value },
    };
    const { rows } = await client.query<(string | null)[]>(query);
    await client.query('ROLLBACK');
    return rows;
  });
  const same =
    got.length === wanted.length &&
    got.every((row, at) => row.length === wanted[at]?.length && row.every((cell, n) => cell === wanted[at]?.[n]));
  return same ? undefined : { expected: shown(wanted), got: shown(got) };
}

/** As Postgres writes it: booleans are `t` and `f`. */
function asText(cell: Cell): string | null {
  if (cell === null) return null;
  if (typeof cell === 'boolean') return cell ? 't' : 'f';
  return String(cell);
}

function shown(rows: (string | null)[][]): string {
  const [first] = rows;
  if (rows.length === 1 && first?.length === 1) return cut(JSON.stringify(first[0]));
  const more = rows.length > ROWS_SHOWN ? `, and ${rows.length - ROWS_SHOWN} more` : '';
  return `${rows.length} rows ${cut(JSON.stringify(rows.slice(0, ROWS_SHOWN)))}${more}`;
}

const cut = (text: string) => redact(text).slice(0, SHOWN);
