/** TargetTablePrepMode. */
import { escapeIdentifier } from 'pg';
import type pg from 'pg';
import { targetTable } from './catalog.ts';
import { dmsColumnType } from './column-moves.ts';
import type { Run } from './run.ts';
import type { TableState } from './state.ts';
import { movesOf, qualified } from './table-plan.ts';

/**
 * Readies the target's table for its load. Foreign keys that point at it make TRUNCATE and DROP fail, as Postgres says.
 * A table that is not there is made in every mode: with the primary key and nothing else.
 */
export async function prepareTable(run: Run, client: pg.Client, { table }: TableState): Promise<void> {
  const schema = run.settings.targetSchema === '' ? table.schema : run.settings.targetSchema;
  const name = qualified(schema, table.name);
  const there = (await targetTable(client, schema, table.name)) !== undefined;
  if (there && run.settings.prepMode === 'DO_NOTHING') return;
  if (there && run.settings.prepMode === 'TRUNCATE_BEFORE_LOAD') {
    await client.query(`TRUNCATE TABLE ${name}`);
    return;
  }
  const { moves } = movesOf(table, run.moves);
  const key = table.key.filter((column) => moves.some(({ facts }) => facts.name === column));
  const columns = moves.map(
    (move) => `${escapeIdentifier(move.facts.name)} ${dmsColumnType(move)}${move.facts.notNull ? ' NOT NULL' : ''}`,
  );
  if (key.length > 0) columns.push(`PRIMARY KEY (${key.map((column) => escapeIdentifier(column)).join(', ')})`);
  await client.query('BEGIN');
  try {
    if (there) await client.query(`DROP TABLE ${name}`);
    await client.query(`CREATE SCHEMA IF NOT EXISTS ${escapeIdentifier(schema)}`);
    await client.query(`CREATE TABLE ${name} (${columns.join(', ')})`);
    await client.query('COMMIT');
  } catch (error) {
    await client.query('ROLLBACK').catch(() => {});
    throw error;
  }
}
