/** One table, source to target, by COPY: streamed, in one transaction, so that twice is the same as once. */
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { Context } from '@temporalio/activity';
import type pg from 'pg';
import { from as copyFrom, to as copyTo } from 'pg-copy-streams';
import { ErrorType } from '../../spec/errors.ts';
import { tableText, type PlannedTable } from '../../spec/postgres-plan.ts';
import { permanent } from '../errors.ts';
import { fromTable } from './checksum.ts';
import { readColumns, sameColumns, type Column } from './columns.ts';
import { sqlState } from './connect.ts';
import { quoted, quotedTable } from './names.ts';
import { majorOf, serverVersion } from './server-version.ts';
import { inTransaction } from './transaction.ts';

export interface Copied {
  rows: number;
  bytes: number;
  binary: boolean;
}

/**
 * Replaces what the target has in the table by what the source has. Triggers and foreign keys are asleep meanwhile
 * (session_replication_role), those that always fire are switched off inside the transaction.
 * @throws cutover.Denied where the role may not set session_replication_role; cutover.Differs where the columns, or the
 *   rows that were sent and that arrived, differ
 */
export async function copyTable(
  sides: { source: pg.Client; target: pg.Client },
  table: PlannedTable,
  onBytes: (bytes: number) => void,
): Promise<Copied> {
  const { source, target } = sides;
  const [here, there] = await Promise.all([readColumns(source, table), readColumns(target, table)]);
  const columns = sameColumns(table, here, there).filter(({ generated }) => !generated);
  const binary = await mayBeBinary(sides, columns, there);
  return inTransaction(target, async () => {
    await asReplica(target);
    const awake = await silenceTriggers(target, table);
    await empty(target, table);
    const copied = await inTransaction(
      source,
      () => stream(sides, { table, columns, binary }, onBytes),
      'BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY',
    );
    for (const statement of awake) await target.query(statement);
    return copied;
  });
}

/** Formats of one major version are the same on both sides; across versions text is what is promised. */
async function mayBeBinary(
  { source, target }: { source: pg.Client; target: pg.Client },
  columns: Column[],
  there: Column[],
): Promise<boolean> {
  const [a, b] = await Promise.all([serverVersion(source), serverVersion(target)]);
  if (majorOf(a) !== majorOf(b)) return false;
  const types = new Map(there.map((column) => [column.name, column]));
  return columns.every((column) => {
    const other = types.get(column.name);
    return column.binarySafe && other?.binarySafe === true && other.type === column.type;
  });
}

async function asReplica(target: pg.Client): Promise<void> {
  try {
    await target.query('SET LOCAL session_replication_role = replica');
  } catch (error) {
    if (sqlState(error) !== '42501') throw error;
    const role = quoted(target.user ?? '');
    throw permanent(ErrorType.denied, 'the worker may not set session_replication_role on the target', {
      remedy: `GRANT SET ON PARAMETER session_replication_role TO ${role} (Postgres 15 and up), or on RDS: GRANT rds_superuser TO ${role}`,
      cause: error as Error,
    });
  }
}

/** @returns the statements that wake them again, inside the same transaction */
async function silenceTriggers(target: pg.Client, table: PlannedTable): Promise<string[]> {
  const { rows } = await target.query<{ name: string; enabled: string }>(
    `SELECT tgname::text AS name, tgenabled AS enabled FROM pg_trigger
      WHERE tgrelid = $1::regclass AND NOT tgisinternal AND tgenabled IN ('A', 'R')`,
    [quotedTable(table)],
  );
  const alter = (what: string, name: string) =>
    `ALTER TABLE ${table.partitioned ? '' : 'ONLY '}${quotedTable(table)} ${what} TRIGGER ${quoted(name)}`;
  for (const { name } of rows) await target.query(alter('DISABLE', name));
  return rows.map(({ name, enabled }) => alter(enabled === 'A' ? 'ENABLE ALWAYS' : 'ENABLE REPLICA', name));
}

async function empty(target: pg.Client, table: PlannedTable): Promise<void> {
  const from = fromTable({ ...table, partitioned: table.partitioned === true });
  const { rowCount } = await target.query(`SELECT FROM ${from} LIMIT 1`);
  if (!rowCount) return;
  // TRUNCATE is refused where another table's foreign key points here, be it empty; DELETE asks nobody in a replica's session.
  const { rows } = await target.query<{ referenced: boolean }>(
    `SELECT EXISTS (SELECT FROM pg_constraint
       WHERE contype = 'f' AND confrelid = $1::regclass AND conrelid <> confrelid) AS referenced`,
    [quotedTable(table)],
  );
  await target.query(`${rows[0]!.referenced ? 'DELETE FROM' : 'TRUNCATE'} ${from}`);
}

async function stream(
  { source, target }: { source: pg.Client; target: pg.Client },
  what: { table: PlannedTable; columns: Column[]; binary: boolean },
  onBytes: (bytes: number) => void,
): Promise<Copied> {
  const { table, binary } = what;
  const names = what.columns.map(({ name }) => quoted(name)).join(', ');
  const format = binary ? ' WITH (FORMAT binary)' : '';
  // A partitioned table has no rows of its own: only a query reads its partitions.
  const out = `COPY (SELECT ${names} FROM ${fromTable({ ...table, partitioned: table.partitioned === true })}) TO STDOUT${format}`;
  const into = `COPY ${quotedTable(table)} ${names === '' ? '' : `(${names})`} FROM STDIN${format}`;
  let bytes = 0;
  const counter = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      bytes += chunk.length;
      onBytes(chunk.length);
      done(null, chunk);
    },
  });
  const reader = source.query(copyTo(out));
  const writer = target.query(copyFrom(into));
  await pipeline(reader, counter, writer, { signal: Context.current().cancellationSignal });
  // The source's own count comes after its last row: the next answer on that connection comes after it.
  await source.query('SELECT 1');
  if (reader.rowCount !== writer.rowCount) {
    throw permanent(
      ErrorType.differs,
      `${tableText(table)}: ${reader.rowCount} rows were sent and ${writer.rowCount} arrived`,
    );
  }
  return { rows: writer.rowCount, bytes, binary };
}
