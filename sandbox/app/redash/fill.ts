/** Fills the schema with what a Redash of some years holds. The same rows from the same seed, made by the server itself. */
import type { Client } from 'pg';
import { withClient, type PgEndpoint } from './endpoint.ts';
import { FILL_STEPS, type FillCounts } from './fill-steps.ts';

export interface FillRedashOptions {
  /** Rows in all tables together; a few more or less are made. At least 2,000. */
  rows: number;
  /** Default 1. */
  seed?: number;
  /** Told after each table. */
  onTable?: (table: string, rows: number) => void;
}

export interface FilledRedash {
  rows: number;
  byTable: Record<string, number>;
  /** Of the database, by pg_database_size. */
  bytes: number;
  ms: number;
}

/** How many of each, of so many rows in all: mostly events, then results and queries. */
function countsOf(rows: number): FillCounts {
  const part = (share: number, least: number): number => Math.max(least, Math.round(rows * share));
  const counts = {
    organizations: 1,
    groups: part(0.00002, 4),
    users: part(0.002, 40),
    data_sources: part(0.00005, 10),
    data_source_groups: part(0.0001, 20),
    query_results: part(0.1, 200),
    queries: part(0.05, 100),
    dashboards: part(0.005, 40),
    visualizations: part(0.08, 200),
    widgets: part(0.03, 100),
    alerts: part(0.002, 20),
    notification_destinations: part(0.00002, 5),
    alert_subscriptions: part(0.002, 20),
    api_keys: part(0.002, 20),
    query_snippets: part(0.0005, 10),
    favorites: part(0.01, 40),
    changes: part(0.04, 100),
    access_permissions: part(0.001, 20),
    alembic_version: 1,
  };
  const others = Object.values(counts).reduce((sum, count) => sum + count, 0);
  return { ...counts, events: Math.max(1_000, rows - others) };
}

/**
 * @param endpoint as the superuser: the rows are made without asking every foreign key, for they are right by construction
 * @throws Error where the tables are not there or not empty
 */
export async function fillRedash(endpoint: PgEndpoint, options: FillRedashOptions): Promise<FilledRedash> {
  const { rows, seed = 1, onTable } = options;
  if (!(rows >= 2_000)) throw new Error(`rows: expected at least 2,000, found ${rows}`);
  const began = performance.now();
  const counts = countsOf(rows);
  return withClient(endpoint, 'redash:fill', async (client) => {
    const { rowCount } = await client.query('SELECT 1 FROM organizations LIMIT 1');
    if (rowCount !== 0) throw new Error(`the database ${endpoint.database} is filled already`);
    await client.query('SET synchronous_commit = off');
    const byTable: Record<string, number> = {};
    for (const step of FILL_STEPS) {
      await inReplicaRole(client, step.triggers !== true, () => client.query(step.sql(counts, seed)));
      byTable[step.table] = counts[step.table];
      onTable?.(step.table, counts[step.table]);
    }
    await client.query('ANALYZE');
    const { rows: size } = await client.query<{ bytes: string }>(
      'SELECT pg_database_size(current_database()) AS bytes',
    );
    const total = Object.values(byTable).reduce((sum, count) => sum + count, 0);
    return { rows: total, byTable, bytes: Number(size[0]!.bytes), ms: performance.now() - began };
  });
}

async function inReplicaRole(client: Client, replica: boolean, fill: () => Promise<unknown>): Promise<void> {
  await client.query(`SET session_replication_role = ${replica ? 'replica' : 'origin'}`);
  await fill();
}
