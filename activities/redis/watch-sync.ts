/** Follows a replication from the attach to the gate: one activity that returns when something material changed. */
import type { Redis } from 'ioredis';
import { syncProgress, type SyncReading, type SyncState } from '../../spec/redis-sync.ts';
import type { RedisEndpoint } from '../../spec/values.ts';
import { waitUntil } from '../wait-until.ts';
import { connectRedis } from './connect.ts';
import { FailedReadings } from './failed-readings.ts';
import { judgeSync, parseInfo, readSource, readTarget } from './replication.ts';

export interface WatchSyncInput {
  migrationId: string;
  source: RedisEndpoint;
  target: RedisEndpoint;
  intervalMs: number;
  maxLagBytes: number;
  /** In sync is said after that many readings in a row within maxLagBytes. */
  readings: number;
  /** The source's sync_full before the attach. */
  syncFull: number;
  /** What was returned last time; it returns as soon as something differs materially from it. */
  last?: SyncState | undefined;
}

/**
 * @throws cutover.Denied where a password was changed under us. A server that is away does not fail it: that is a state
 *   (`unreachable`), shown to the operator, and it ends by itself.
 */
export async function watchSync(input: WatchSyncInput): Promise<SyncState> {
  const watcher = new SyncWatcher(input);
  try {
    return await waitUntil({
      intervalMs: input.intervalMs,
      read: () => watcher.read(),
      done: (state) => isMaterial(input.last, state),
      progress: syncProgress,
    });
  } finally {
    watcher.close();
  }
}

class SyncWatcher {
  private readonly input: WatchSyncInput;
  private source: Redis | undefined;
  private target: Redis | undefined;
  private inRow = 0;
  private readonly failures = new FailedReadings();
  private latest: SyncState;

  constructor(input: WatchSyncInput) {
    this.input = input;
    this.latest = input.last ?? {
      phase: 'attaching',
      readBytes: 0,
      totalBytes: -1,
      inSync: false,
      fullSyncs: 0,
      tenth: 0,
    };
    // A watch that goes on from an in-sync state need not prove it from the start.
    if (input.last?.inSync) this.inRow = input.readings;
  }

  async read(): Promise<SyncState> {
    try {
      this.latest = await this.readBoth();
      this.failures.ended();
    } catch (error) {
      this.close();
      this.latest = this.failures.oneMore(error, 'source or target', this.latest);
      this.inRow = 0;
    }
    return this.latest;
  }

  close(): void {
    this.source?.disconnect();
    this.target?.disconnect();
    this.source = undefined;
    this.target = undefined;
  }

  private async readBoth(): Promise<SyncState> {
    const name = `cutover:${this.input.migrationId}:watch`;
    this.source ??= await connectRedis(this.input.source, { name });
    this.target ??= await connectRedis(this.input.target, { name });
    const [s, t, stats] = await Promise.all([
      readSource(this.source),
      readTarget(this.target),
      this.source.info('stats'),
    ]);
    const reading = judgeSync(s, t);
    // Most of a wait is spent online, where the copy's progress is known.
    const persistence = reading.phase === 'online' ? '' : await this.source.info('persistence');
    const caughtUp = reading.phase === 'online' && (reading.lagBytes ?? Infinity) <= this.input.maxLagBytes;
    this.inRow = caughtUp ? this.inRow + 1 : 0;
    return {
      ...reading,
      inSync: this.inRow >= this.input.readings,
      // The one field of sixty: parsing them all is most of a reading's cost.
      fullSyncs: Number(/^sync_full:(\d+)/m.exec(stats)?.[1] ?? 0) - this.input.syncFull,
      tenth: tenthOf(reading, parseInfo(persistence)),
    };
  }
}

/** By bytes where the size is known, by the source's count of keys where it is diskless (7.0 and up), else 0. */
function tenthOf(reading: SyncReading, persistence: Record<string, string>): number {
  if (reading.phase === 'online') return 10;
  if (reading.totalBytes > 0) return Math.floor((10 * reading.readBytes) / reading.totalBytes);
  const total = Number(persistence['current_save_keys_total'] ?? 0);
  return total > 0 ? Math.floor((10 * Number(persistence['current_save_keys_processed'] ?? 0)) / total) : 0;
}

/** Another phase, another tenth, in sync or not any more, another full copy begun, a side gone or back. */
export function isMaterial(last: SyncState | undefined, now: SyncState): boolean {
  if (!last) return true;
  return (
    last.phase !== now.phase ||
    last.tenth !== now.tenth ||
    last.inSync !== now.inSync ||
    last.fullSyncs !== now.fullSyncs ||
    (last.unreachable === undefined) !== (now.unreachable === undefined)
  );
}
