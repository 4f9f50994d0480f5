/** The target: empty, in reach of DMS as the file says, with room, and not in replica mode where it must not be. */
import prettyBytes from 'pretty-bytes';
import { tableText } from '../../../spec/postgres-plan.ts';
import { fail, pass, unknown, unmet, warn, type Finding } from '../../preflight/check.ts';
import { dmsLogin, named, type PostgresCheck, type PostgresContext } from './context.ts';
import { targetStorage } from './target-storage.ts';
import { relation, look, sql, undecided, DECIDE, setSetting } from './scripts.ts';
import { USER_RELATION } from './source-tables.ts';
import type { Side } from './probe.ts';

async function empty(c: PostgresContext): Promise<Finding> {
  const moved = new Set((await c.tables()).moved.map(tableText));
  const there = (
    await c.target.rows<{ schema: string; name: string }>(
      `SELECT n.nspname AS schema, c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
       WHERE c.relkind IN ('r', 'p') AND ${USER_RELATION} ORDER BY 1, 2`,
    )
  ).filter((table) => moved.has(tableText(table)));
  const full: typeof there = [];
  for (const table of there) {
    const [row] = await c.target.rows<{ some: boolean }>(`SELECT EXISTS (SELECT 1 FROM ${relation(table)}) AS some`);
    if (row?.some) full.push(table);
  }
  if (full.length === 0)
    return pass(
      there.length === 0 ? 'none of the tables is there yet' : `${there.length} tables are there, without rows`,
    );
  if (await loading(c))
    return warn(
      `${full.length} tables have rows: this migration is at it`,
      'nothing need be done if it runs; else abort it first',
    );
  const mode = c.migration.replication.taskSettings?.['FullLoadSettings'] as Record<string, unknown> | undefined;
  const prep = mode?.['TargetTablePrepMode'] ?? 'TRUNCATE_BEFORE_LOAD';
  return unmet(
    `rows are there already: ${named(full.map(tableText))}; ${
      prep === 'DO_NOTHING'
        ? 'the load would come on top of them'
        : `the load would throw them away (${JSON.stringify(prep)})`
    }`,
    sql(
      'target',
      '-- if nobody needs what is in them:',
      DECIDE,
      ...full.map((t) => undecided(`TRUNCATE ${relation(t)} CASCADE;`)),
    ),
  );
}

/** What this migration has made on the target is recorded there. */
async function loading(c: PostgresContext): Promise<boolean> {
  const tables = await c.target.rows<{ name: string }>(
    `SELECT c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'migration'
     WHERE n.nspname = 'cutover' AND c.relkind = 'r' AND c.relname = 'created'`,
  );
  if (tables.length === 0) return false;
  const rows = await c.target.rows<object>('SELECT 1 FROM cutover.created WHERE migration = $1 LIMIT 1', [
    c.migration.id,
  ]);
  return rows.length > 0;
}

async function tls(c: PostgresContext, side: Side): Promise<Finding> {
  const endpoint = side === 'source' ? c.migration.replication.sourceEndpoint : c.migration.replication.targetEndpoint;
  const on = (await c[side].setting('ssl')) === 'on';
  const found = `ssl ${on ? 'on' : 'off'}, sslMode ${endpoint.sslMode}`;
  if (!on && endpoint.sslMode !== 'none') {
    return unmet(
      `${found}: DMS's connection would be refused`,
      `in the file: replication.${side}Endpoint.sslMode: none, or give the ${side} a certificate and ssl = on`,
    );
  }
  if (endpoint.sslMode.startsWith('verify') && !endpoint.certificateArn) {
    return unmet(found, `in the file: replication.${side}Endpoint.certificateArn (aws dms import-certificate)`);
  }
  const rds = await c[side].rows<{ setting: string }>(`SELECT setting FROM pg_settings WHERE name = 'rds.force_ssl'`);
  if (rds[0]?.setting === '1' || rds[0]?.setting === 'on') {
    if (endpoint.sslMode === 'none')
      return unmet(`${found}, rds.force_ssl on`, `in the file: replication.${side}Endpoint.sslMode: require`);
  }
  return pass(found);
}

async function connections(c: PostgresContext, side: Side): Promise<Finding> {
  const [row] = await c[side].fresh<{ most: number; used: number }>(
    `SELECT current_setting('max_connections')::float8 - current_setting('superuser_reserved_connections')::float8 AS most,
       (SELECT count(*) FROM pg_stat_activity WHERE datid IS NOT NULL)::float8 AS used`,
  );
  const left = (row?.most ?? 0) - (row?.used ?? 0);
  // The tables at once, validation's five threads, capture and apply, and a few of ours.
  const needed = c.migration.replication.load.tablesAtOnce + (c.migration.replication.validation ? 5 : 0) + 10;
  const found = `${left} of ${row?.most} connections are free, ${needed} are needed`;
  if (left >= needed) return pass(found);
  return unmet(found, await setSetting(c[side], 'max_connections', `${(row?.most ?? 0) + needed}`, { restart: true }));
}

async function storage(c: PostgresContext): Promise<Finding> {
  const [row] = await c.source.rows<{ bytes: number }>('SELECT pg_database_size(current_database())::float8 AS bytes');
  const needed = row?.bytes ?? 0;
  const b = (n: number) => prettyBytes(n, { binary: true });
  const found = await targetStorage(c.migration.target.host, c.migration.replication.aws);
  if (!found) {
    return unknown(
      `the source's database is ${b(needed)}; ${c.migration.target.host} is no RDS instance that we see, and SQL shows no free disk`,
      `on the target's machine: df -h  # at least ${b(needed * 1.5)} free`,
    );
  }
  const most = Math.max(found.allocatedBytes, found.growsToBytes);
  const text = `${b(found.allocatedBytes)} allocated${found.growsToBytes ? `, grows to ${b(found.growsToBytes)}` : ''}; the source's database is ${b(needed)}`;
  if (needed > most) return fail(text, found.grow(Math.ceil((needed * 1.5) / 1024 ** 3)));
  if (needed * 1.5 > most)
    return warn(`${text}: little room for the log and for indexes`, found.grow(Math.ceil((needed * 2) / 1024 ** 3)));
  return pass(text);
}

const sides = ['source', 'target'] as const;

export const targetChecks: readonly PostgresCheck[] = [
  {
    id: 'P.target.empty',
    title: 'the tables of the target are empty',
    severity: 'fail',
    remedy: () => 'empty them, if nobody needs what is in them',
    byHand: () => look('target', '\\dt+ *.*'),
    run: empty,
  },
  ...sides.map((side): PostgresCheck => ({
    id: side === 'source' ? 'P.dms.tls' : 'P.target.dms.tls',
    title: `the ${side} takes DMS's connection with or without TLS, as the file has it`,
    severity: 'fail',
    remedy: () => `in the file: replication.${side}Endpoint.sslMode`,
    byHand: () => look(side, 'SHOW ssl;'),
    run: (c) => tls(c, side),
  })),
  ...sides.map((side): PostgresCheck => ({
    id: side === 'source' ? 'P.connections' : 'P.target.connections',
    title: `the ${side} has connections left`,
    severity: 'warn',
    remedy: () => `raise max_connections on the ${side}, or lower replication.load.tablesAtOnce`,
    byHand: (c) =>
      look(side, `SHOW max_connections; SELECT count(*) FROM pg_stat_activity;  -- DMS as ${dmsLogin(c, side).user}`),
    run: (c) => connections(c, side),
  })),
  {
    id: 'P.target.storage',
    title: 'the target has room for the data',
    severity: 'fail',
    remedy: () => 'give the target more storage',
    byHand: () => 'aws rds describe-db-instances',
    run: storage,
  },
];
