/**
 * What a fence changed, written on the server itself, so that it can be lifted with nothing but a connection: which roles
 * could log in before. Always written before the change, and never over an earlier record: a second run would note the
 * fence itself as the old state.
 */
import type pg from 'pg';
import { ErrorType } from '../../spec/errors.ts';
import { OWN_SCHEMA } from '../../spec/postgres-plan.ts';
import { permanent, transient } from '../errors.ts';
import { hasOwnTable } from './own-schema.ts';
import { inTransaction } from './transaction.ts';

/** `fence` on the source, `closing` on the target. */
export type RecordTable = 'fence' | 'closing';

export interface RoleRecord {
  role: string;
  migration: string;
  hadLogin: boolean;
  generation: number;
  at: string;
  /** Epoch ms by the worker's clock; set once no session was left. */
  raisedAt?: number;
  /** The fence is down; the row says what the role had, for the proof. */
  lifted: boolean;
}

const ATTEMPTS = 1_000;

/** The generation of an activity's attempt within a pass through the critical section; both count from 1. */
export function generationOf(cutover: number, attempt: number): number {
  return cutover * ATTEMPTS + Math.min(attempt, ATTEMPTS - 1);
}

/** Empty where there is no record, or no schema of ours. */
export async function readRecords(client: pg.ClientBase, table: RecordTable): Promise<RoleRecord[]> {
  if (!(await hasOwnTable(client, table))) return [];
  const { rows } = await client.query<{
    role: string;
    migration: string;
    had_login: boolean;
    generation: number;
    at: string;
    raised_at: string | null;
    lifted: boolean;
  }>(
    `SELECT role, migration, had_login, generation, at::text AS at, raised_at::text AS raised_at,
            lifted_at IS NOT NULL AS lifted
       FROM ${OWN_SCHEMA}.${table} ORDER BY role COLLATE "C"`,
  );
  return rows.map((row) => ({
    role: row.role,
    migration: row.migration,
    hadLogin: row.had_login,
    generation: row.generation,
    at: row.at,
    lifted: row.lifted,
    ...(row.raised_at === null ? {} : { raisedAt: Number(row.raised_at) }),
  }));
}

/** Which of these roles there are, and whether they may log in. */
export async function readLogins(client: pg.ClientBase, roles: readonly string[]): Promise<Map<string, boolean>> {
  const { rows } = await client.query<{ role: string; login: boolean }>(
    `SELECT rolname::text AS role, rolcanlogin AS login FROM pg_roles WHERE rolname = ANY($1)`,
    [roles],
  );
  return new Map(rows.map((row) => [row.role, row.login]));
}

export interface Claim {
  migration: string;
  generation: number;
  roles: readonly string[];
}

/**
 * Records the roles under this attempt's generation.
 * @throws cutover.NotOurs where another migration's fence has one of them; cutover.Deadline where a later attempt has
 *   taken over
 */
export async function recordRoles(client: pg.ClientBase, table: RecordTable, claim: Claim): Promise<void> {
  await inTransaction(client, async () => {
    await client.query(`LOCK TABLE ${OWN_SCHEMA}.${table} IN EXCLUSIVE MODE`);
    const up = (await readRecords(client, table)).filter(({ lifted }) => !lifted);
    const foreign = up.find((record) => record.migration !== claim.migration && claim.roles.includes(record.role));
    if (foreign) throw notOurs(foreign);
    const later = up.find((record) => record.migration === claim.migration && record.generation > claim.generation);
    if (later) throw transient(ErrorType.deadline, 'a later attempt has taken the fence over; this one is given up');
    const logins = await readLogins(client, claim.roles);
    for (const [role, login] of logins) {
      await client.query(
        `INSERT INTO ${OWN_SCHEMA}.${table} AS old (role, migration, had_login, generation) VALUES ($1, $2, $3, $4)
         ON CONFLICT (role) DO UPDATE SET
           had_login = CASE WHEN old.lifted_at IS NULL THEN old.had_login ELSE excluded.had_login END,
           at = CASE WHEN old.lifted_at IS NULL THEN old.at ELSE excluded.at END,
           raised_at = CASE WHEN old.lifted_at IS NULL AND old.generation / ${ATTEMPTS} = excluded.generation / ${ATTEMPTS}
                            THEN old.raised_at END,
           migration = excluded.migration, generation = excluded.generation, lifted_at = NULL`,
        [role, claim.migration, login, claim.generation],
      );
    }
  });
}

/** Locks the rows and sees that they are still this attempt's. @throws cutover.Deadline */
export async function holdRecords(client: pg.ClientBase, table: RecordTable, claim: Claim): Promise<void> {
  const { rows } = await client.query<{ held: boolean }>(
    `SELECT generation = $1 AND migration = $2 AND lifted_at IS NULL AS held
       FROM ${OWN_SCHEMA}.${table} WHERE role = ANY($3) FOR UPDATE`,
    [claim.generation, claim.migration, claim.roles],
  );
  if (rows.length > 0 && rows.every(({ held }) => held)) return;
  throw transient(ErrorType.deadline, 'the fence is not this attempt’s any more; it is given up');
}

export function notOurs(record: RoleRecord): Error {
  return permanent(
    ErrorType.notOurs,
    `the role ${record.role} is fenced by the migration ${record.migration}, since ${record.at}`,
    { remedy: `end that migration, or lift its fence: cutover unfence <its file>` },
  );
}
