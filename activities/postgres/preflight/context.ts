/** What the checks of `postgres` look at. */
import type { Postgres } from '../../../spec/kind-postgres.ts';
import type { TablePlan } from '../../../spec/postgres-plan.ts';
import type { SecretRef } from '../../../spec/values.ts';
import type { Check } from '../../preflight/check.ts';
import { postgresProbe, type PostgresProbe, type Side } from './probe.ts';
import { tablesOf, type SourceTables } from './source-tables.ts';

export interface PostgresContext {
  migration: Postgres;
  /** What is right at the start (an empty target) is wrong before the fence. */
  moment: 'start' | 'before-fence';
  source: PostgresProbe;
  target: PostgresProbe;
  /** What was planned, where it has been: what came since then is in no copy. */
  plan: TablePlan | undefined;
  /** The source's tables with their columns and which way each goes, read once. @throws CannotCheck */
  tables(): Promise<SourceTables>;
}

export type PostgresCheck = Check<PostgresContext>;

export function postgresContext(
  migration: Postgres,
  moment: PostgresContext['moment'],
  plan?: TablePlan,
): PostgresContext {
  const name = `cutover:${migration.id}:preflight`;
  const source = postgresProbe('source', migration.source, name);
  let tables: Promise<SourceTables> | undefined;
  return {
    migration,
    moment,
    plan,
    source,
    target: postgresProbe('target', migration.target, name),
    tables: () => (tables ??= tablesOf(migration, source)),
  };
}

export interface DmsLogin {
  user: string;
  password?: SecretRef;
}

/** The user that DMS logs in with: the endpoint's own, or the worker's. */
export function dmsLogin({ migration }: PostgresContext, side: Side): DmsLogin {
  const { user, password } =
    side === 'source' ? migration.replication.sourceEndpoint : migration.replication.targetEndpoint;
  const worker = migration[side];
  const known = password ?? (user === undefined || user === worker.user ? worker.password : undefined);
  return { user: user ?? worker.user, ...(known ? { password: known } : {}) };
}

/** Who reads the source, or writes the target: the worker's role and DMS's; one where they are the same. */
export function ourRoles(c: PostgresContext, side: Side): string[] {
  return [...new Set([c.migration[side].user, dmsLogin(c, side).user])];
}

/** At most this many names in a message; the rest is counted. */
const NAMED = 20;

export function named(names: readonly string[]): string {
  const more = names.length - NAMED;
  return names.slice(0, NAMED).join(', ') + (more > 0 ? ` and ${more} more` : '');
}
