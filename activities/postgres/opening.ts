/**
 * The target opens for the application, and closes again as long as nobody has written to it. What it was like before the
 * opening is recorded on the target first: a later look compares with that.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import { ErrorType } from '../../spec/errors.ts';
import type { Postgres } from '../../spec/kind-postgres.ts';
import { OWN_SCHEMA } from '../../spec/postgres-plan.ts';
import { permanent } from '../errors.ts';
import { sessionName, withPostgres } from './connect.ts';
import { closeRoles } from './fence.ts';
import { requireFence } from './fence-activities.ts';
import { generationOf, readLogins, readRecords } from './fence-record.ts';
import { quoted } from './names.ts';
import { hasOwnTable } from './own-schema.ts';
import { serverVersion } from './server-version.ts';
import { endEarlierSessions } from './sessions.ts';
import { inTransaction } from './transaction.ts';
import { compareBaselines, readBaseline, type WriteBaseline } from './write-baseline.ts';

/** `closeRoles` is two transactions that write: the record, and ALTER ROLE. */
const XIDS_OF_CLOSING = 2n;
/** Before Postgres 15 counters come by way of a collector, which may be half a second late. */
const COLLECTOR_MS = 1_000;

interface Opening {
  cutover: number;
  baseline: WriteBaseline;
  /** Those that were let in. */
  roles: string[];
  openedXid: string | null;
  openedAt: string | null;
  closed: boolean;
}

interface OpenInput {
  migration: Postgres;
  cutover: number;
}

/**
 * Lets the application's roles log in to the target, those that could on the source. From here on the target may take
 * writes. Can run twice: the baseline of the first run is kept.
 * @throws cutover.Invalid where the source's fence is not up any more, or this cutover was closed already;
 *   cutover.NotFound where a role is missing on the target
 */
export async function openTarget({ migration, cutover }: OpenInput): Promise<{ openedAt: number }> {
  const name = sessionName(migration.id, 'open');
  return withPostgres(migration.target, { name }, async (target) => {
    await endEarlierSessions(target, name);
    const roles = await withPostgres(migration.source, { name }, async (source) => {
      await requireFence(source, migration);
      const records = await readRecords(source, 'fence');
      return records.filter((record) => record.migration === migration.id && !record.lifted && record.hadLogin);
    });
    const names = roles.map(({ role }) => role);
    const there = await readLogins(target, names);
    const missing = names.filter((role) => !there.has(role));
    if (missing.length > 0) {
      throw permanent(ErrorType.notFound, `roles of the application are missing on the target: ${missing.join(', ')}`, {
        remedy: missing.map((role) => `CREATE ROLE ${quoted(role)} LOGIN PASSWORD …`).join('; '),
      });
    }
    const before = await readOpening(target, migration.id);
    if (before?.cutover === cutover && before.closed) {
      throw permanent(ErrorType.invalid, `the target was closed again in cutover ${cutover}; it opens in the next one`);
    }
    if (before?.cutover === cutover && before.openedAt !== null) return { openedAt: Date.parse(before.openedAt) };
    await target.query(
      `INSERT INTO ${OWN_SCHEMA}.opening AS o (migration, cutover, baseline, roles) VALUES ($1, $2, $3, $4)
       ON CONFLICT (migration) DO UPDATE SET cutover = excluded.cutover, baseline = excluded.baseline,
         roles = excluded.roles, opened_xid = NULL, opened_at = NULL, closed_at = NULL`,
      [migration.id, cutover, JSON.stringify(await readBaseline(target)), names],
    );
    return { openedAt: await open(target, { migration, cutover }, names) };
  });
}

/** One transaction: whoever finds no `opened_at` knows that no role was let in. */
async function open(target: pg.Client, { migration, cutover }: OpenInput, roles: string[]): Promise<number> {
  return inTransaction(target, async () => {
    const { rows } = await target.query<{ at: string }>(
      `UPDATE ${OWN_SCHEMA}.opening SET opened_xid = txid_current()::text, opened_at = clock_timestamp()
        WHERE migration = $1 AND cutover = $2 AND closed_at IS NULL
        RETURNING to_char(opened_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS at`,
      [migration.id, cutover],
    );
    if (!rows[0])
      throw permanent(ErrorType.invalid, `cutover ${cutover} was given up meanwhile: the target stays closed`);
    for (const role of roles) await target.query(`ALTER ROLE ${quoted(role)} LOGIN`);
    return Date.parse(rows[0].at);
  });
}

async function readOpening(client: pg.ClientBase, migration: string): Promise<Opening | undefined> {
  if (!(await hasOwnTable(client, 'opening'))) return undefined;
  const { rows } = await client.query<{
    cutover: number;
    baseline: WriteBaseline;
    roles: string[];
    opened_xid: string | null;
    opened_at: string | null;
    closed: boolean;
  }>(
    `SELECT cutover, baseline, roles, opened_xid, closed_at IS NOT NULL AS closed,
            to_char(opened_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS opened_at
       FROM ${OWN_SCHEMA}.opening WHERE migration = $1`,
    [migration],
  );
  const row = rows[0];
  if (!row) return undefined;
  const { cutover, baseline, roles, closed } = row;
  return { cutover, baseline, roles, closed, openedXid: row.opened_xid, openedAt: row.opened_at };
}

/** True where this migration's target is open for the application. */
export async function isOpened(client: pg.ClientBase, migration: string): Promise<boolean> {
  const opening = await readOpening(client, migration);
  return opening?.openedAt !== null && opening?.openedAt !== undefined && !opening.closed;
}

export interface CloseOutcome {
  outcome: 'switched' | 'not-switched' | 'unknown';
  evidence: string;
  /** Where it has taken writes: the tables, at most 20. */
  rowsWritten?: { table: string; rows: number }[];
}

/**
 * Closes the target for the application and looks whether it has taken a write since it was opened. Written: it is opened
 * again. Can run any number of times. Answers `unknown` rather than to throw where it can't be told: the target stays
 * closed then only if it could be reached.
 */
export async function closeTargetIfUnwritten(input: OpenInput): Promise<CloseOutcome> {
  const { migration } = input;
  const name = sessionName(migration.id, 'open');
  try {
    return await withPostgres(migration.target, { name }, async (target) => {
      // What an earlier attempt had sent to open the target has arrived after this, or never will.
      await endEarlierSessions(target, name);
      return judge(target, input);
    });
  } catch (error) {
    return { outcome: 'unknown', evidence: error instanceof Error ? error.message : String(error) };
  }
}

async function judge(target: pg.Client, { migration, cutover }: OpenInput): Promise<CloseOutcome> {
  const opening = await readOpening(target, migration.id);
  if (!opening || opening.cutover !== cutover) {
    // A stale opener finds no row of its cutover that is not closed, and opens nothing.
    return { outcome: 'not-switched', evidence: 'the target was not opened in this cutover' };
  }
  if (opening.closed) return { outcome: 'not-switched', evidence: 'the target was closed again before any write' };
  if (opening.openedAt === null) {
    await noteClosed(target, migration.id, cutover);
    return { outcome: 'not-switched', evidence: 'the target was never opened for the application' };
  }
  const { roles: opened } = opening;
  const first = await nextXid(target);
  const claim = { migration: migration.id, generation: generationOf(cutover, Infinity), roles: opened };
  await closeRoles(target, 'closing', claim, migration.cutover.budgets.open);
  const own = opened.length > 0 ? XIDS_OF_CLOSING : 0n;
  // Nobody took an id between the opening and our look, nor while the last sessions were being ended.
  const untouched = first === BigInt(opening.openedXid!) + 1n && (await nextXid(target)) === first + own;
  if ((await serverVersion(target)) < 150_000) await delay(COLLECTOR_MS);
  const now = await readBaseline(target);
  const written = compareBaselines(opening.baseline, now);
  const rows = written.rows.slice(0, 20);
  if (written.rows.length === 0 && written.other.length === 0 && (untouched || written.unknown === undefined)) {
    await noteClosed(target, migration.id, cutover);
    const why = untouched ? 'no transaction has written anything' : 'no table and no sequence has changed';
    return { outcome: 'not-switched', evidence: `since ${opening.openedAt}: ${why}` };
  }
  if (written.unknown !== undefined && rows.length === 0) return { outcome: 'unknown', evidence: written.unknown };
  await inTransaction(target, async () => {
    for (const role of opened) await target.query(`ALTER ROLE ${quoted(role)} LOGIN`);
  });
  const named = [...rows.map(({ table, rows: count }) => `${table} (${count} rows)`), ...written.other].slice(0, 5);
  return {
    outcome: 'switched',
    evidence: `the target has taken writes since ${opening.openedAt}: ${named.join(', ')}; it is open`,
    rowsWritten: rows,
  };
}

async function noteClosed(target: pg.ClientBase, migration: string, cutover: number): Promise<void> {
  await target.query(
    `UPDATE ${OWN_SCHEMA}.opening SET closed_at = clock_timestamp() WHERE migration = $1 AND cutover = $2`,
    [migration, cutover],
  );
}

/** The id that the next writing transaction gets; asking takes none. */
async function nextXid(client: pg.ClientBase): Promise<bigint> {
  const { rows } = await client.query<{ xid: string }>(
    `SELECT txid_snapshot_xmax(txid_current_snapshot())::text AS xid`,
  );
  return BigInt(rows[0]!.xid);
}
