/** The tables that the replication can't move: big ones before the fence, all that is not equal then inside it. */
import pLimit from 'p-limit';
import type { Postgres } from '../../spec/kind-postgres.ts';
import { tableText, type CopyResult, type PlannedTable, type TablePlan } from '../../spec/postgres-plan.ts';
import { beat } from '../beat.ts';
import { sessionName, withPostgres } from './connect.ts';
import { copyTable } from './copy-table.ts';
import { endEarlierSessions } from './sessions.ts';
import { isSame } from './verify.ts';

/** From that size on a table is copied before the fence, bytes; inside it is then only compared, unless it has changed. */
const AHEAD_FROM = 64 * 1024 * 1024;
const AT_ONCE = 4;

interface CopyInput {
  migration: Postgres;
  plan: TablePlan;
}

/**
 * Copies the big tables while the application still writes: what changes meanwhile is copied again inside the fence.
 * Twice is the same as once.
 */
export async function copyAhead({ migration, plan }: CopyInput): Promise<CopyResult> {
  return copyAll(
    migration,
    byHand(plan).filter(({ bytes }) => bytes >= AHEAD_FROM),
    () => Promise.resolve(false),
  );
}

/** Copies every table of copyByHand, but for those that were copied ahead and are still equal. Twice is the same as once. */
export async function copyByHand({ migration, plan, ahead }: CopyInput & { ahead: CopyResult }): Promise<CopyResult> {
  const copied = new Set(ahead.tables.map(({ table }) => table));
  return copyAll(migration, byHand(plan), async (table) => copied.has(tableText(table)) && isSame(migration, table));
}

function byHand(plan: TablePlan): PlannedTable[] {
  // The largest first: it would else be alone at the end.
  return plan.tables.filter(({ treatment }) => treatment === 'by-hand').sort((a, b) => b.bytes - a.bytes);
}

async function copyAll(
  migration: Postgres,
  tables: PlannedTable[],
  isDone: (table: PlannedTable) => Promise<boolean>,
): Promise<CopyResult> {
  if (tables.length === 0) return { tables: [] };
  const name = sessionName(migration.id, 'copy');
  // An attempt that was given up may still hold its tables: what it has sent is rolled back with its session.
  for (const side of [migration.source, migration.target]) {
    await withPostgres(side, { name }, (client) => endEarlierSessions(client, name));
  }
  const progress = new CopyProgress(tables);
  const atOnce = pLimit(AT_ONCE);
  const copyOne = async (table: PlannedTable): Promise<CopyResult['tables'][number]> => {
    const began = performance.now();
    const ms = () => Math.round(performance.now() - began);
    if (await isDone(table)) {
      progress.add(table, table.bytes);
      return {
        table: tableText(table),
        rows: 0,
        bytes: 0,
        ms: ms(),
        binary: false,
        skipped: 'copied ahead, and equal',
      };
    }
    const copied = await withPostgres(migration.source, { name }, (source) =>
      withPostgres(migration.target, { name }, (target) =>
        copyTable({ source, target }, table, (bytes) => progress.add(table, bytes)),
      ),
    );
    progress.rows += copied.rows;
    return { table: tableText(table), ...copied, ms: ms() };
  };
  // All are waited for, or the first failure would leave the others running.
  const settled = await Promise.allSettled(tables.map((table) => atOnce(() => copyOne(table))));
  const failed = settled.find((result) => result.status === 'rejected');
  if (failed) throw failed.reason;
  return { tables: settled.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : [])) };
}

class CopyProgress {
  rows = 0;
  private readonly began = performance.now();
  private readonly total: number;
  private bytes = 0;
  private beaten = -Infinity;

  constructor(tables: PlannedTable[]) {
    this.total = tables.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  add(table: PlannedTable, bytes: number): void {
    this.bytes += bytes;
    const now = performance.now();
    // A beat per chunk of 64 kB would cost more than the copy.
    if (now - this.beaten < 200) return;
    this.beaten = now;
    const perSecond = Math.round(this.bytes / Math.max(0.001, (now - this.began) / 1000));
    beat({
      progress: {
        text: `copying ${tableText(table)}, ${this.rows} rows of other tables done`,
        done: this.bytes,
        total: Math.max(this.total, this.bytes),
        unit: 'bytes',
        perSecond,
      },
    });
  }
}
