/**
 * The fence: the application's roles may not log in, and none of their sessions is left. Read-only defaults and REVOKE can
 * both be undone by the session they are meant for (facts/postgres-dms 3.2). It outlives our crash and the server's, and
 * lifting it needs nothing but the record beside it.
 */
import type pg from 'pg';
import { ErrorType } from '../../spec/errors.ts';
import { OWN_SCHEMA } from '../../spec/postgres-plan.ts';
import { permanent } from '../errors.ts';
import {
  holdRecords,
  notOurs,
  readLogins,
  readRecords,
  recordRoles,
  type Claim,
  type RecordTable,
} from './fence-record.ts';
import { databaseOf, isSame, readSigns, refuseForeignSigns, sign, unsign } from './fence-sign.ts';
import { quoted } from './names.ts';
import { awaitLoginsUnderWay, endUntilNone, sessionsOf } from './sessions.ts';
import { inTransaction } from './transaction.ts';

/**
 * Closes the roles: recorded, NOLOGIN, sessions ended until none is left. Roles that are not there are passed over.
 * @returns how many sessions were ended
 * @throws cutover.NotOurs, cutover.Deadline, cutover.Denied
 */
export async function closeRoles(
  client: pg.ClientBase,
  table: RecordTable,
  claim: Claim,
  deadlineMs: number,
): Promise<number> {
  const there = [...(await readLogins(client, claim.roles)).keys()];
  if (there.length === 0) return 0;
  const held = { ...claim, roles: there };
  const ours = { migration: claim.migration, database: await databaseOf(client) };
  // On the target a role is closed for moments, and its counters are the proof that nobody wrote: no sign there.
  const signed = table === 'fence';
  if (signed) await refuseForeignSigns(client, there, ours);
  await recordRoles(client, table, held);
  await inTransaction(client, async () => {
    await holdRecords(client, table, held);
    if (signed) await refuseForeignSigns(client, there, ours);
    for (const role of there) {
      await client.query(`ALTER ROLE ${quoted(role)} NOLOGIN`);
      if (signed) await sign(client, role, ours);
    }
  });
  await awaitLoginsUnderWay(client);
  return endUntilNone(client, () => sessionsOf(client, there), deadlineMs);
}

export interface LiftedFence {
  changed: boolean;
  detail: string;
}

export interface LiftOptions {
  /** Refuse to lift another migration's fence. */
  migration?: string;
  /** Lift only where the fence is this attempt's own. */
  generation?: number;
}

/**
 * Gives LOGIN back to those roles that had it, reads back that they have it, and keeps the record marked as lifted.
 * Runs as often as it likes. Of several migrations' fences only the named one's is lifted.
 * @throws cutover.NotOurs where the only fence is another migration's
 */
export async function liftFence(
  client: pg.ClientBase,
  options: LiftOptions = {},
  table: RecordTable = 'fence',
): Promise<LiftedFence> {
  const up = (await readRecords(client, table)).filter(({ lifted }) => !lifted);
  const { migration, generation } = options;
  const ours = up.filter((record) => migration === undefined || record.migration === migration);
  if (up.length > 0 && ours.length === 0) throw notOurs(up[0]!);
  if (ours.length === 0) return { changed: false, detail: 'there was no fence' };
  if (generation !== undefined && ours.some((record) => record.generation !== generation)) {
    return { changed: false, detail: 'the fence is not this attempt’s, it is left alone' };
  }
  const logins = await readLogins(
    client,
    ours.map(({ role }) => role),
  );
  const database = await databaseOf(client);
  const signs = await readSigns(client, [...logins.keys()]);
  // Closed by a neighbour in the moment between our look and our fence: its own to open.
  const foreign = ours.filter(({ role, migration: whose }) => {
    const mark = signs.get(role);
    return mark !== undefined && !isSame(mark, { migration: whose, database });
  });
  const theirs = new Set(foreign.map(({ role }) => role));
  const back = ours
    .filter(({ role, hadLogin }) => hadLogin && logins.has(role) && !theirs.has(role))
    .map(({ role }) => role);
  const gone = ours.filter(({ role }) => !logins.has(role)).map(({ role }) => role);
  await inTransaction(client, async () => {
    for (const role of back) await client.query(`ALTER ROLE ${quoted(role)} LOGIN`);
    for (const { role } of ours) if (logins.has(role) && !theirs.has(role)) await unsign(client, role);
    await client.query(`UPDATE ${OWN_SCHEMA}.${table} SET lifted_at = clock_timestamp() WHERE role = ANY($1)`, [
      ours.map(({ role }) => role),
    ]);
  });
  const after = await readLogins(client, back);
  const still = back.filter((role) => after.get(role) !== true);
  if (still.length > 0) throw permanent(ErrorType.invalid, `the roles can't log in yet: ${still.join(', ')}`);
  const without = ours
    .filter(({ role, hadLogin }) => !hadLogin && logins.has(role) && !theirs.has(role))
    .map(({ role }) => role);
  const notes = [
    back.length > 0 ? `${back.join(', ')} may log in again` : '',
    without.length > 0 ? `${without.join(', ')} could not before, and may not now` : '',
    gone.length > 0 ? `${gone.join(', ')} is not there any more` : '',
    ...[...theirs].map((role) => `${role} stays closed: the migration ${signs.get(role)!.migration} has fenced it`),
  ];
  return { changed: true, detail: `lifted: ${notes.filter(Boolean).join('; ')}` };
}
