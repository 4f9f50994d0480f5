/** Inside the fence, before the target opens: it must treat the application's rows as the source did. */
import type pg from 'pg';
import pLimit from 'p-limit';
import { ErrorType } from '../../spec/errors.ts';
import type { Postgres } from '../../spec/kind-postgres.ts';
import { tableText, type PlannedTable, type TablePlan } from '../../spec/postgres-plan.ts';
import { beat } from '../beat.ts';
import { permanent } from '../errors.ts';
import { sessionName, withPostgres } from './connect.ts';
import { readForeignKeys } from './foreign-keys.ts';
import { quotedTable, tableKey } from './names.ts';
import { replicationRoleFaults } from './replication-role.ts';
import { missingGrants } from './role-rights.ts';
import { movedTables } from './tables.ts';
import { matchTriggers } from './triggers.ts';
import { isUserSchema } from './user-schemas.ts';

interface ReadyInput {
  migration: Postgres;
  plan: TablePlan;
}

/**
 * Refreshes materialized views, gives triggers the state that they have on the source, and proves the rest: sessions are
 * `origin`, foreign keys validated, indexes valid, the application's roles may do what they may on the source. Twice is
 * the same as once.
 * @throws cutover.Invalid with all that is wrong and the mend of each
 */
export async function makeTargetReady({ migration, plan }: ReadyInput): Promise<{ detail: string }> {
  const options = { name: sessionName(migration.id, 'ready') };
  return withPostgres(migration.source, options, (source) =>
    withPostgres(migration.target, options, async (target) => {
      const sides = { source, target };
      const roles = migration.cutover.applicationRoles;
      const tables = movedTables(plan);
      const faults: Fault[] = [
        ...(await replicationRoleFaults(target, roles)).map(({ where, value, mend }) => ({
          what: `session_replication_role is ${value} for ${where}: triggers and foreign keys would not fire`,
          mend,
        })),
        ...(await keyFaults(sides, tables)),
        ...(await indexFaults(sides)),
        ...(await grantFaults(sides, roles, tables)),
      ];
      const triggers = await matchTriggers(sides, tables);
      faults.push(...triggers.faults);
      refuse(faults);
      const views = await refreshViews(sides);
      return { detail: `${views} materialized views refreshed, ${triggers.changed} triggers set as on the source` };
    }),
  );
}

interface Sides {
  source: pg.Client;
  target: pg.Client;
}

export interface Fault {
  what: string;
  mend: string;
}

function refuse(faults: Fault[]): void {
  if (faults.length === 0) return;
  const shown = faults.slice(0, 5).map(({ what }) => what);
  const more = faults.length > 5 ? `; and ${faults.length - 5} more` : '';
  throw permanent(ErrorType.invalid, `the target is not ready: ${shown.join('; ')}${more}`, {
    remedy: faults
      .slice(0, 5)
      .map(({ mend }) => mend)
      .join('; '),
    facts: { faults: faults.slice(0, 20) },
  });
}

/** Of the keys between tables that are moved: there, and validated where the source has them so. */
async function keyFaults({ source, target }: Sides, tables: readonly PlannedTable[]): Promise<Fault[]> {
  const moved = new Set(tables.map(tableKey));
  const [here, there] = await Promise.all([readForeignKeys(source), readForeignKeys(target)]);
  return here.flatMap((key): Fault[] => {
    const isMoved =
      moved.has(tableKey({ schema: key.schema, name: key.table })) &&
      moved.has(tableKey({ schema: key.toSchema, name: key.toTable }));
    if (!isMoved) return [];
    const other = there.find(
      ({ schema, table, name }) => schema === key.schema && table === key.table && name === key.name,
    );
    const table = { schema: key.schema, name: key.table };
    const what = `the foreign key ${key.name} of ${tableText(table)}`;
    if (!other) return [{ what: `${what} is missing`, mend: 'create it as it is on the source' }];
    if (!key.validated || other.validated) return [];
    const mend = `ALTER TABLE ${quotedTable(table)} VALIDATE CONSTRAINT "${key.name.replaceAll('"', '""')}"`;
    return [{ what: `${what} is not validated`, mend }];
  });
}

async function invalidIndexes(client: pg.ClientBase): Promise<Set<string>> {
  const { rows } = await client.query<{ name: string }>(
    `SELECT format('%I.%I', n.nspname, c.relname) AS name
       FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE NOT (i.indisvalid AND i.indisready) AND ${isUserSchema('n')}`,
  );
  return new Set(rows.map(({ name }) => name));
}

async function indexFaults({ source, target }: Sides): Promise<Fault[]> {
  const [here, there] = await Promise.all([invalidIndexes(source), invalidIndexes(target)]);
  return [...there]
    .filter((name) => !here.has(name))
    .map((name) => ({ what: `the index ${name} is not valid`, mend: `REINDEX INDEX ${name}` }));
}

async function grantFaults(sides: Sides, roles: readonly string[], tables: readonly PlannedTable[]): Promise<Fault[]> {
  const { rows } = await sides.target.query<{ role: string }>(
    `SELECT role FROM unnest($1::text[]) AS role WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role)`,
    [roles],
  );
  const missing = rows.map(({ role }) => ({
    what: `the role ${role} is not there`,
    mend: `CREATE ROLE "${role.replaceAll('"', '""')}" LOGIN PASSWORD …`,
  }));
  const grants = await missingGrants(sides, roles, tables);
  return [...missing, ...grants.map((mend) => ({ what: `a right that the source gives is missing: ${mend}`, mend }))];
}

/** Filled on the source, so filled on the target, and with the rows that are there now. */
async function refreshViews({ source, target }: Sides): Promise<number> {
  const { rows } = await source.query<{ name: string }>(
    // In the order of their making: one may read another.
    `SELECT format('%I.%I', n.nspname, c.relname) AS name
       FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE c.relkind = 'm' AND c.relispopulated AND ${isUserSchema('n')} ORDER BY c.oid`,
  );
  let refreshed = 0;
  for (const { name } of rows) {
    const there = await target.query(`SELECT FROM pg_class WHERE oid = to_regclass($1::text) AND relkind = 'm'`, [
      name,
    ]);
    if (!there.rowCount) continue;
    beat({ progress: { text: `refreshing ${name}`, done: refreshed, total: rows.length } });
    await target.query(`REFRESH MATERIALIZED VIEW ${name}`);
    refreshed += 1;
  }
  return refreshed;
}

const ANALYZED_AT_ONCE = 2;

/** ANALYZE of every table that is moved: without it the first queries on the target are planned blindly. Changes no row. */
export async function analyzeTarget({ migration, plan }: ReadyInput): Promise<{ tables: number }> {
  const tables = movedTables(plan);
  const atOnce = pLimit(ANALYZED_AT_ONCE);
  let done = 0;
  const analyze = (table: PlannedTable) =>
    withPostgres(migration.target, { name: sessionName(migration.id, 'analyze') }, async (client) => {
      await client.query(`ANALYZE ${quotedTable(table)}`);
      done += 1;
      beat({ progress: { text: `analyzed ${tableText(table)}`, done, total: tables.length } });
    });
  await Promise.all(tables.map((table) => atOnce(() => analyze(table))));
  return { tables: done };
}
