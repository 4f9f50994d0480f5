/** Foreign keys are made without a look at the rows, and validated once the rows of both tables are there. */
import type pg from 'pg';
import type { Treatment } from '../../spec/postgres-tables.ts';
import { ErrorType } from '../../spec/errors.ts';
import type { Postgres } from '../../spec/kind-postgres.ts';
import { tableText, type TableId, type TablePlan } from '../../spec/postgres-plan.ts';
import { beat } from '../beat.ts';
import { permanent } from '../errors.ts';
import { postgresFailure, sessionName, withPostgres } from './connect.ts';
import { quoted, tableKey } from './names.ts';
import type { SchemaInput } from './schema-copy.ts';
import { createEntry } from './schema-created.ts';
import { notValid, selectEntries, tablesOf, type Keyed } from './schema-entries.ts';
import { withSchemaSides, type SchemaSides } from './schema-sides.ts';
import { isUserSchema } from './user-schemas.ts';

export interface ForeignKey {
  schema: string;
  table: string;
  name: string;
  toSchema: string;
  toTable: string;
  validated: boolean;
}

/**
 * `replicated`: keys between tables that the replication moves, validated while it goes on; `by-hand`: those that touch a
 * table that is copied by hand, after its copy. Keys that the source itself has as NOT VALID stay so. Twice is the same as once.
 * @throws cutover.Differs, with the row that breaks the key
 */
export async function validateForeignKeys(
  input: SchemaInput & { touching: 'replicated' | 'by-hand' },
): Promise<{ validated: number }> {
  const { migration, plan, touching } = input;
  return withSchemaSides(migration, async (sides) => {
    const isWanted = wanted(plan, touching);
    let validated = migration.schema.create ? await createPartitioned(sides, input, isWanted) : 0;
    const never = new Set((await readForeignKeys(sides.source)).filter((key) => !key.validated).map(keyText));
    const open = (await readForeignKeys(sides.target)).filter(
      (key) => !key.validated && !never.has(keyText(key)) && isWanted(key),
    );
    for (const key of open) {
      const table = tableText({ schema: key.schema, name: key.table });
      beat({ progress: { text: `validating ${key.name} of ${table}`, done: validated, total: open.length } });
      try {
        await sides.target.query(
          `ALTER TABLE ONLY ${quoted(key.schema)}.${quoted(key.table)} VALIDATE CONSTRAINT ${quoted(key.name)}`,
        );
      } catch (error) {
        throw postgresFailure(error, `${sides.target.host}:${sides.target.port}, validating ${key.name} of ${table}`);
      }
      validated += 1;
    }
    return { validated };
  });
}

/**
 * Before tables are loaded again: DMS empties them by TRUNCATE, which a foreign key that points at them forbids (facts
 * 4.6). `finishSchema` makes the keys again. Twice is the same as once.
 * @throws cutover.Invalid where the schema is not this migration's, so that it could not make them again
 */
export async function dropForeignKeysTo({
  migration,
  tables,
}: {
  migration: Postgres;
  tables: TableId[];
}): Promise<{ dropped: string[] }> {
  const options = { name: sessionName(migration.id, 'schema') };
  return withPostgres(migration.target, options, async (target) => {
    const wantedTables = new Set(tables.map(tableKey));
    const keys = (await readForeignKeys(target)).filter(
      (key) =>
        wantedTables.has(tableKey({ schema: key.toSchema, name: key.toTable })) &&
        !(key.schema === key.toSchema && key.table === key.toTable),
    );
    const dropped = keys.map((key) => `${key.name} of ${tableText({ schema: key.schema, name: key.table })}`);
    if (keys.length > 0 && !migration.schema.create) {
      throw permanent(ErrorType.invalid, `foreign keys of the target forbid it: ${dropped.join(', ')}`, {
        remedy: 'the file says that the schema is not cutover’s: drop them, reload, and make them again',
      });
    }
    for (const key of keys) {
      await target.query(
        `ALTER TABLE ${quoted(key.schema)}.${quoted(key.table)} DROP CONSTRAINT IF EXISTS ${quoted(key.name)}`,
      );
    }
    return { dropped };
  });
}

type Ends = Pick<ForeignKey, 'schema' | 'table' | 'toSchema' | 'toTable'>;

function wanted(plan: TablePlan, touching: 'replicated' | 'by-hand'): (key: Ends) => boolean {
  const treatments = new Map<string, Treatment>(plan.tables.map((table) => [tableKey(table), table.treatment]));
  return (key) => {
    const ends = [
      treatments.get(tableKey({ schema: key.schema, name: key.table })),
      treatments.get(tableKey({ schema: key.toSchema, name: key.toTable })),
    ];
    return ends.includes('by-hand') === (touching === 'by-hand');
  };
}

/** A partitioned table takes no NOT VALID key: it is made here, rows and all. Only then is another dump worth its second. */
async function createPartitioned(
  sides: SchemaSides,
  { migration, plan }: SchemaInput,
  isWanted: (key: Ends) => boolean,
): Promise<number> {
  if (!plan.tables.some(({ partitioned }) => partitioned)) return 0;
  if (!migration.schema.afterLoad.includes('foreign-keys')) return 0;
  const [dump, there] = await Promise.all([sides.dumpSource(), sides.dumpTarget()]);
  const present = new Set(there.map(({ key }) => key));
  const { entries } = selectEntries(dump, plan);
  const tables = new Map<number, Keyed>(
    entries.filter(({ kind }) => kind === 'TABLE').map((entry) => [entry.dumpId, entry]),
  );
  const missing = entries.filter((entry) => {
    if (entry.kind !== 'FK CONSTRAINT' || present.has(entry.key) || notValid(entry.sql) !== undefined) return false;
    const [on, to = on] = tablesOf(entry, tables);
    return on !== undefined && isWanted({ schema: on.schema, table: on.tag, toSchema: to!.schema, toTable: to!.tag });
  });
  for (const entry of missing) await createEntry(sides.target, migration.id, entry);
  return missing.length;
}

function keyText(key: ForeignKey): string {
  return `${key.schema}\0${key.table}\0${key.name}`;
}

/** All foreign keys of the user's tables, but for the copies that partitions have of their table's. */
export async function readForeignKeys(client: pg.ClientBase): Promise<ForeignKey[]> {
  const { rows } = await client.query<{
    schema: string;
    table: string;
    name: string;
    to_schema: string;
    to_table: string;
    validated: boolean;
  }>(
    `SELECT n.nspname::text AS schema, c.relname::text AS "table", k.conname::text AS name,
            tn.nspname::text AS to_schema, t.relname::text AS to_table, k.convalidated AS validated
       FROM pg_constraint k
       JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
       JOIN pg_class t ON t.oid = k.confrelid JOIN pg_namespace tn ON tn.oid = t.relnamespace
      WHERE k.contype = 'f' AND coalesce((row_to_json(k)->>'conparentid')::oid, 0) = 0 AND ${isUserSchema('n')}
      ORDER BY 1, 2, 3`,
  );
  return rows.map(({ to_schema, to_table, ...row }) => ({ ...row, toSchema: to_schema, toTable: to_table }));
}
