/**
 * What this migration has created on the target, recorded there in the same transaction: the undo removes nothing else.
 * The text of both sides is kept too, because servers of different versions write the same view differently.
 */
import type pg from 'pg';
import { OWN_SCHEMA } from '../../spec/postgres-plan.ts';
import { postgresFailure } from './connect.ts';
import { hasOwnTable } from './own-schema.ts';
import { entryText, type Keyed } from './schema-entries.ts';
import { inTransaction } from './transaction.ts';

export interface CreatedRow {
  key: string;
  kind: string;
  name: string;
  dropSql: string;
  sourceText: string;
  targetText: string | null;
}

/** In the order of their making. */
export async function readCreated(client: pg.ClientBase, migration: string): Promise<Map<string, CreatedRow>> {
  if (!(await hasOwnTable(client, 'created'))) return new Map();
  const { rows } = await client.query<{
    key: string;
    kind: string;
    name: string;
    drop_sql: string;
    source_text: string;
    target_text: string | null;
  }>(
    `SELECT key, kind, name, drop_sql, source_text, target_text FROM ${OWN_SCHEMA}.created WHERE migration = $1 ORDER BY seq`,
    [migration],
  );
  return new Map(
    rows.map((row) => [
      shownKey(row.key),
      {
        key: shownKey(row.key),
        kind: row.kind,
        name: row.name,
        dropSql: row.drop_sql,
        sourceText: row.source_text,
        targetText: row.target_text,
      },
    ]),
  );
}

/** Postgres keeps no NUL in a text. */
const storedKey = (key: string) => key.replaceAll('\0', '\u0001');
const shownKey = (key: string) => key.replaceAll('\u0001', '\0');

/**
 * Creates one object and records it, both or neither.
 * @throws the server's error as ours, naming the object
 */
export async function createEntry(
  client: pg.Client,
  migration: string,
  entry: Keyed,
  sql: string = entry.sql,
): Promise<void> {
  try {
    await inTransaction(client, async () => {
      await client.query(sql);
      await client.query(
        `INSERT INTO ${OWN_SCHEMA}.created AS c (migration, key, kind, name, drop_sql, source_text) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (key) DO UPDATE SET migration = excluded.migration, drop_sql = excluded.drop_sql,
           source_text = excluded.source_text, target_text = NULL`,
        [migration, storedKey(entry.key), entry.kind, entryText(entry), entry.dropSql, entry.sql],
      );
    });
  } catch (error) {
    throw postgresFailure(error, `${client.host}:${client.port}, creating ${entryText(entry)}`);
  }
}

/** How the target itself writes what was created, where its version may write it differently. */
export async function noteTargetTexts(
  client: pg.ClientBase,
  migration: string,
  target: readonly Keyed[],
): Promise<void> {
  const texts = new Map(target.map((entry) => [entry.key, entry.sql]));
  for (const row of (await readCreated(client, migration)).values()) {
    const text = texts.get(row.key);
    if (row.targetText !== null || text === undefined) continue;
    await client.query(`UPDATE ${OWN_SCHEMA}.created SET target_text = $1 WHERE key = $2`, [text, storedKey(row.key)]);
  }
}

export async function forgetCreated(client: pg.ClientBase, key: string): Promise<void> {
  await client.query(`DELETE FROM ${OWN_SCHEMA}.created WHERE key = $1`, [storedKey(key)]);
}
