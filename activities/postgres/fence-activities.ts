/** The fence as activities: raised with its marker, lifted, and the proof that the source takes writes. */
import { randomUUID } from 'node:crypto';
import { Context } from '@temporalio/activity';
import type pg from 'pg';
import { ErrorType } from '../../spec/errors.ts';
import type { Postgres } from '../../spec/kind-postgres.ts';
import { OWN_SCHEMA, type PostgresFence } from '../../spec/postgres-plan.ts';
import { permanent } from '../errors.ts';
import { CriticalLease } from '../redis/critical-lease.ts';
import { connectPostgres, postgresFailure, sessionName, whereIs, withPostgres } from './connect.ts';
import { closeRoles, liftFence } from './fence.ts';
import { generationOf, readLogins, readRecords, type Claim } from './fence-record.ts';
import { writeMarker } from './marker.ts';
import { hasOwnTable } from './own-schema.ts';
import { guardRoles, refuseOthers, refusePrepared } from './role-guard.ts';
import { serverVersion } from './server-version.ts';
import { endEarlierSessions, sessionsOf } from './sessions.ts';

/**
 * Fences the application's roles on the source, closes the same ones on the target, and writes the marker after the last
 * session has ended. Can run twice: a later attempt takes an earlier one's fence over. Where it fails it lifts the fence
 * at once, which is quicker than to wait for the workflow to do so; the workflow does it all the same.
 * @throws cutover.Invalid (a role that must not be fenced, other roles connected, prepared transactions), cutover.Denied,
 *   cutover.NotFound, cutover.NotOurs, cutover.Deadline
 */
export async function fencePostgres(input: { migration: Postgres; cutover: number }): Promise<PostgresFence> {
  const { migration } = input;
  const { applicationRoles: roles, budgets } = migration.cutover;
  const lease = new CriticalLease();
  const name = sessionName(migration.id, 'fence');
  const generation = generationOf(input.cutover, Context.current().info.attempt);
  const claim: Claim = { migration: migration.id, generation, roles };
  const source = await connectPostgres(migration.source, { name });
  let touched = false;
  try {
    await guardRoles(source, migration, 'source');
    await endEarlierSessions(source, name);
    await refusePrepared(source);
    await refuseOthers(source, migration);
    return await withPostgres(migration.target, { name }, async (target) => {
      await guardRoles(target, migration, 'target');
      await endEarlierSessions(target, name);
      lease.check('fence', budgets.fence);
      touched = true;
      const ended = await closeRoles(source, 'fence', claim, left(lease, budgets.fence));
      // Whoever came between the first look and the fence.
      await refuseOthers(source, migration);
      await refusePrepared(source);
      const raisedAt = await noteRaised(source, claim);
      await closeRoles(target, 'closing', claim, left(lease, budgets.fence));
      return await mark(source, input, { raisedAt, generation, ended });
    });
  } catch (error) {
    // Once given up, it must not lift what may be the fence of the attempt that went on.
    if (touched && !lease.stoodStill) {
      await liftFence(source, { migration: migration.id, generation }).catch(() => {
        // The workflow lifts it with retries and shows why where it can't.
      });
    }
    throw postgresFailure(error, whereIs(migration.source));
  } finally {
    lease.end();
    await source.end().catch(() => {});
  }
}

function left(lease: CriticalLease, budgetMs: number): number {
  return Math.max(1, budgetMs - lease.elapsedMs);
}

/** @returns since when no session was left, epoch ms: an earlier attempt of the same cutover may have got there first */
async function noteRaised(client: pg.ClientBase, claim: Claim): Promise<number> {
  const { rows } = await client.query<{ raised_at: string }>(
    `UPDATE ${OWN_SCHEMA}.fence SET raised_at = coalesce(raised_at, $1)
      WHERE role = ANY($2) AND migration = $3 RETURNING raised_at::text AS raised_at`,
    [Date.now(), claim.roles, claim.migration],
  );
  return Math.min(...rows.map((row) => Number(row.raised_at)));
}

/** After the last session ended: every write of the application is below this position and before this row. */
async function mark(
  client: pg.ClientBase,
  { migration, cutover }: { migration: Postgres; cutover: number },
  fence: { raisedAt: number; generation: number; ended: number },
): Promise<PostgresFence> {
  const version = await serverVersion(client);
  const position = version >= 100_000 ? 'pg_current_wal_insert_lsn()' : 'pg_current_xlog_insert_location()';
  const { rows } = await client.query<{ lsn: string }>(`SELECT ${position}::text AS lsn`);
  const marker = `${migration.id}:${cutover}:${fence.generation}:${randomUUID()}`;
  await writeMarker(client, `${migration.id}:${cutover}`, marker);
  const roles = migration.cutover.applicationRoles.join(', ');
  const sessions = fence.ended === 1 ? '1 session was' : `${fence.ended} sessions were`;
  return {
    raisedAt: fence.raisedAt,
    lsn: rows[0]!.lsn,
    marker,
    detail: `${roles} may not log in to ${whereIs(migration.source)}; ${sessions} ended`,
  };
}

/**
 * The fence is up, this migration's own, and nobody of the application is connected: asked again right before the target
 * opens, for from then on the source's writes would be lost.
 * @throws cutover.Invalid
 */
export async function requireFence(client: pg.ClientBase, migration: Postgres): Promise<void> {
  const { applicationRoles: roles } = migration.cutover;
  const records = (await readRecords(client, 'fence')).filter(
    (record) => record.migration === migration.id && !record.lifted,
  );
  const logins = await readLogins(client, roles);
  const open = roles.filter((role) => logins.get(role) !== false || !records.some((record) => record.role === role));
  const connected = await sessionsOf(client, roles);
  if (open.length === 0 && connected.length === 0) return;
  const why = open.length > 0 ? `${open.join(', ')} may log in` : `${connected[0]!.role} is connected`;
  throw permanent(ErrorType.invalid, `the source's fence is not up any more: ${why}`, {
    remedy: 'somebody has lifted it; what was written since is not on the target: cut over again',
  });
}

/**
 * Lifts this migration's fence on the source and puts the target's roles back as they were. Runs as often as it likes.
 * A target that can't be reached does not keep the source fenced: it is told in the answer.
 * @throws cutover.NotOurs, and what `withPostgres` throws for the source
 */
export async function liftPostgresFence({ migration }: { migration: Postgres }): Promise<{ detail: string }> {
  const name = sessionName(migration.id, 'fence');
  const lift = (side: 'source' | 'target') =>
    withPostgres(migration[side], { name }, async (client) => {
      await endEarlierSessions(client, name);
      return liftFence(client, { migration: migration.id }, side === 'source' ? 'fence' : 'closing');
    });
  const { detail } = await lift('source');
  try {
    await lift('target');
    return { detail };
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return { detail: `${detail}; the target's roles could not be put back: ${why}` };
  }
}

/**
 * Proves that the application can write on the source: its roles may log in as they could before any fence, nothing makes
 * sessions read-only, and a write is really made.
 * @throws cutover.Invalid with the reason where it can't
 */
export async function provePostgresSourceWritable({ migration }: { migration: Postgres }): Promise<void> {
  const { applicationRoles: roles } = migration.cutover;
  await withPostgres(migration.source, { name: sessionName(migration.id, 'prove') }, async (client) => {
    const records = (await readRecords(client, 'fence')).filter((record) => record.migration === migration.id);
    const up = records.filter(({ lifted }) => !lifted).map(({ role }) => role);
    if (up.length > 0) throw permanent(ErrorType.invalid, `the fence is still up for ${up.join(', ')}`);
    const logins = await readLogins(client, roles);
    const shut = records.filter(({ role, hadLogin }) => hadLogin && logins.get(role) === false).map(({ role }) => role);
    if (shut.length > 0) {
      throw permanent(ErrorType.invalid, `roles that could log in before can't now: ${shut.join(', ')}`, {
        remedy: shut.map((role) => `ALTER ROLE ${role} LOGIN`).join('; '),
      });
    }
    await refuseReadOnly(client, roles);
    await writeOnce(client, migration.id);
  });
}

async function refuseReadOnly(client: pg.ClientBase, roles: readonly string[]): Promise<void> {
  const { rows } = await client.query<{ where: string }>(
    `SELECT coalesce('the role ' || r.rolname, 'the database') AS where
       FROM pg_db_role_setting s LEFT JOIN pg_roles r ON r.oid = s.setrole
      WHERE (s.setdatabase = 0 OR s.setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database()))
        AND (s.setrole = 0 OR r.rolname = ANY($1))
        AND EXISTS (SELECT FROM unnest(s.setconfig) AS c
                     WHERE c ~* '^default_transaction_read_only=(on|true|yes|1)$')
     UNION ALL
     SELECT 'the server' FROM pg_settings
      WHERE name = 'default_transaction_read_only' AND reset_val = 'on'`,
    [roles],
  );
  if (rows[0]) throw permanent(ErrorType.invalid, `default_transaction_read_only is on for ${rows[0].where}`);
}

async function writeOnce(client: pg.ClientBase, migration: string): Promise<void> {
  // Before our schema is there, and after it is gone: a transaction with an id of its own is as good as a write.
  if (await hasOwnTable(client, 'marker')) await writeMarker(client, `${migration}:writable`, new Date().toISOString());
  else await client.query('SELECT txid_current()');
}
