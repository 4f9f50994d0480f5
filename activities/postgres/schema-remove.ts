/** The undo of the schema copy: what this migration created on the target is dropped, and nothing else. */
import type pg from 'pg';
import { ErrorType } from '../../spec/errors.ts';
import { permanent } from '../errors.ts';
import { sessionName, sqlState, whereIs, withPostgres } from './connect.ts';
import { isOpened } from './opening.ts';
import { forgetCreated, readCreated, type CreatedRow } from './schema-created.ts';
import type { SchemaInput } from './schema-copy.ts';
import { endEarlierSessions } from './sessions.ts';
import { inTransaction } from './transaction.ts';

/** No such object any more: dropped with its table, by an earlier run, or by somebody. */
const GONE = /^(42P01|42704|42703|42883|3F000)$/;
/** Something else depends on it (never CASCADE), or it is part of what must go first: tried again when the rest is gone. */
const NEEDED = /^(2BP01|42P16)$/;

/**
 * Drops what `cutover.created` names, the last first, where the file says `abort.dropTargetTables`; names it else. Twice is
 * the same as once.
 * @throws cutover.Invalid where the target is open for the application: its data are the only ones by then
 */
export async function removeTargetTables({ migration }: SchemaInput): Promise<{ leftovers: string[] }> {
  const name = sessionName(migration.id, 'schema');
  return withPostgres(migration.target, { name }, async (target) => {
    await endEarlierSessions(target, name);
    const created = [...(await readCreated(target, migration.id)).values()].reverse();
    const tables = created.filter(({ kind }) => kind === 'TABLE');
    if (!migration.abort.dropTargetTables) {
      if (tables.length === 0) return { leftovers: [] };
      const named = tables.slice(0, 10).map((row) => row.name.replace(/^TABLE /, ''));
      const more = tables.length > 10 ? ` and ${tables.length - 10} more` : '';
      return { leftovers: [`tables created at ${whereIs(migration.target)}: ${named.join(', ')}${more}`] };
    }
    if (await isOpened(target, migration.id)) {
      throw permanent(ErrorType.invalid, 'the target is open for the application: its tables are not dropped');
    }
    return { leftovers: (await dropAll(target, created)).slice(0, 20) };
  });
}

/** Again and again, as long as something goes. @returns what is still needed by others */
async function dropAll(target: pg.Client, created: CreatedRow[]): Promise<string[]> {
  // Keys that point to each other in a circle would hold their tables.
  const isKey = ({ kind }: CreatedRow) => kind === 'FK CONSTRAINT';
  let rest = [...created.filter(isKey), ...created.filter((row) => !isKey(row))];
  for (;;) {
    const held: { row: CreatedRow; why: string }[] = [];
    for (const row of rest) {
      const why = await drop(target, row);
      if (why) held.push({ row, why });
    }
    if (held.length === 0 || held.length === rest.length) return held.map(({ why }) => why);
    rest = held.map(({ row }) => row);
  }
}

async function drop(target: pg.Client, row: CreatedRow): Promise<string | undefined> {
  try {
    await inTransaction(target, async () => {
      // Without a statement of its own it goes with the table that it is in.
      if (row.dropSql.trim() !== '') await target.query(row.dropSql);
      await forgetCreated(target, row.key);
    });
    return undefined;
  } catch (error) {
    const state = sqlState(error) ?? '';
    if (GONE.test(state)) {
      await forgetCreated(target, row.key);
      return undefined;
    }
    if (!NEEDED.test(state)) throw error;
    return `${row.name}: ${error instanceof Error ? error.message : state}`;
  }
}
