/**
 * Whether the source can keep its write-ahead log for as long as the load takes: the slot holds it back from the start,
 * and a full disk stops the source itself (facts 4.7: nobody else looks).
 */
import { setTimeout as delay } from 'node:timers/promises';
import ms from 'ms';
import prettyBytes from 'pretty-bytes';
import { fail, pass, unknown, unmet, warn, type Finding } from '../../preflight/check.ts';
import type { PostgresCheck, PostgresContext } from './context.ts';
import type { PostgresProbe } from './probe.ts';
import { look, setSetting } from './scripts.ts';

const WINDOW_MS = 1_000;

/**
 * What a full load moves, bytes per second: on the low side of what DMS does with one instance of a middle class, so that
 * the prediction is rather too long. An assumption, and said so in the report.
 */
const LOAD_RATE = 5 * 1024 ** 2;
/** A load waits for open transactions, and DMS needs its time to begin. */
const STARTUP_MS = 15 * 60_000;

/** Bytes of log per second now, from two samples. */
async function walRate(source: PostgresProbe): Promise<number> {
  const read = async () => {
    const [row] = await source.fresh<{ at: number; lsn: string }>(
      `SELECT extract(epoch FROM clock_timestamp())::float8 AS at, pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::text AS lsn`,
    );
    return row!;
  };
  const before = await read();
  await delay(WINDOW_MS);
  const after = await read();
  return Math.max(0, Number(BigInt(after.lsn) - BigInt(before.lsn)) / (after.at - before.at));
}

async function headroom(c: PostgresContext): Promise<Finding> {
  const { replicated, all } = await c.tables();
  const loaded = new Set(replicated.map(({ oid }) => oid));
  // Partitions hold what their roots don't.
  const bytes = all
    .filter((t) => loaded.has(t.oid) || (t.partitionOf !== null && t.treatment === 'replicated'))
    .reduce((sum, t) => sum + t.bytes, 0);
  const loadMs = STARTUP_MS + (bytes / LOAD_RATE) * 1000;
  const rate = await walRate(c.source);
  const needed = rate * (loadMs / 1000);
  const b = (n: number) => prettyBytes(n, { binary: true });
  const found = `${b(rate)}/s of log now × ${ms(Math.round(loadMs), { long: true })} for ${b(bytes)} (at ${b(LOAD_RATE)}/s, assumed) = ${b(needed)}`;
  const keepMb = Number((await c.source.setting('max_slot_wal_keep_size')) ?? -1);
  if (keepMb === -1) {
    return unknown(
      `${found}; max_slot_wal_keep_size is -1, so the source's disk is the limit, and SQL can't see it`,
      `on the source's machine: df -h "$(psql -Atc 'SHOW data_directory')/pg_wal"  # at least ${b(needed * 2)} free`,
    );
  }
  const keep = keepMb * 1024 ** 2;
  const wanted = `${Math.max(1, Math.ceil((needed * 3) / 1024 ** 3))}GB`;
  const mend = await setSetting(c.source, 'max_slot_wal_keep_size', wanted);
  const text = `${found}; max_slot_wal_keep_size ${b(keep)}`;
  if (needed > keep) return fail(`${text}: the slot would be lost in the load, which then starts over`, mend);
  if (needed * 2 > keep) return warn(`${text}: less than twice of what it may need`, mend);
  return pass(text);
}

export const headroomChecks: readonly PostgresCheck[] = [
  {
    id: 'P.wal_headroom',
    title: 'the source can keep its log for as long as the load takes',
    severity: 'fail',
    remedy: () => 'free disk on the source, raise max_slot_wal_keep_size, or load at a quiet hour',
    byHand: () => look('source', `SELECT pg_current_wal_lsn(); \\! sleep 60`),
    run: headroom,
  },
  {
    id: 'P.max_slot_wal_keep_size',
    title: 'the source gives up no slot by itself',
    severity: 'warn',
    remedy: () => 'set max_slot_wal_keep_size to -1 for the migration, and watch the disk',
    byHand: () => look('source', 'SHOW max_slot_wal_keep_size;'),
    run: async ({ source }) => {
      const keep = await source.setting('max_slot_wal_keep_size');
      if (keep === undefined || keep === '-1') return pass('no limit: the log is kept as long as it is needed');
      return unmet(
        `${prettyBytes(Number(keep) * 1024 ** 2, { binary: true })}: a slot that falls behind further is lost, and the load starts over`,
        await setSetting(source, 'max_slot_wal_keep_size', '-1'),
      );
    },
  },
];
