/** Watches the follower from what it says on the target: one activity that returns when something material changed. */
import { syncProgress, type SyncReading, type SyncState } from '../../../spec/redis-sync.ts';
import type { RedisEndpoint } from '../../../spec/values.ts';
import { waitUntil } from '../../wait-until.ts';
import type { CopyState } from '../copy/types.ts';
import { FailedReadings } from '../failed-readings.ts';
import { isMaterial } from '../watch-sync.ts';
import { Desk, type Standing } from './desk.ts';

export interface WatchCopyInput {
  migrationId: string;
  target: RedisEndpoint;
  claim: string;
  intervalMs: number;
  /** How long a touched key may wait to be copied again. */
  maxLagMs: number;
  /** In sync is said after that many readings in a row. */
  readings: number;
  last?: SyncState | undefined;
}

/** A worker that is busy, or an attempt that begins again, is silent for some seconds. */
const SILENT_MS = 15_000;
const SHOWN_NOTES = 10;

/** @throws cutover.Denied. A target that is away is a state (`unreachable`), shown to the operator. */
export async function watchCopy(input: WatchCopyInput): Promise<SyncState> {
  const watcher = new CopyWatcher(input);
  try {
    return await waitUntil({
      intervalMs: input.intervalMs,
      read: () => watcher.read(),
      done: (state) => isMaterial(input.last, state) || state.notes?.at(-1) !== input.last?.notes?.at(-1),
      progress: syncProgress,
    });
  } finally {
    watcher.close();
  }
}

class CopyWatcher {
  readonly #input: WatchCopyInput;
  #desk: Desk | undefined;
  #inRow = 0;
  readonly #failures = new FailedReadings();
  #heard: { sequence: number; claim: string; at: number } | undefined;
  #latest: SyncState;
  readonly #began = performance.now();

  constructor(input: WatchCopyInput) {
    this.#input = input;
    this.#latest = input.last ?? { ...NOTHING_YET, inSync: false, fullSyncs: 0, tenth: 0 };
    if (input.last?.inSync) this.#inRow = input.readings;
  }

  close(): void {
    this.#desk?.close();
    this.#desk = undefined;
  }

  async read(): Promise<SyncState> {
    try {
      this.#desk ??= await Desk.open(this.#input.target, this.#input.migrationId, 'ask');
      this.#latest = this.#judge(await this.#desk.standing());
      this.#failures.ended();
    } catch (error) {
      this.close();
      this.#latest = this.#failures.oneMore(error, 'the target', this.#latest);
      this.#inRow = 0;
    }
    return this.#latest;
  }

  #judge(standing: Standing | undefined): SyncState {
    const { claim, maxLagMs, readings } = this.#input;
    const own = standing?.claim === claim ? standing : undefined;
    const silentMs = this.#silentMs(own);
    const reading = readingOf(own?.state);
    const unreachable =
      own?.failed ??
      (silentMs > SILENT_MS
        ? `the follower has said nothing for ${Math.round(silentMs / 1000)} s; where its worker died, another one goes on`
        : undefined);
    const within =
      unreachable === undefined && own?.state !== undefined && own.state.inSync && own.state.oldestMs <= maxLagMs;
    this.#inRow = within ? this.#inRow + 1 : 0;
    return {
      ...reading,
      ...(own?.notes.length ? { notes: own.notes.slice(-SHOWN_NOTES) } : {}),
      inSync: this.#inRow >= readings,
      fullSyncs: 0,
      tenth: tenthOf(reading),
      ...(unreachable === undefined ? {} : { unreachable }),
    };
  }

  /** By our own clock, since its last word changed. */
  #silentMs(own: Standing | undefined): number {
    const now = performance.now();
    if (own && (own.sequence !== this.#heard?.sequence || own.claim !== this.#heard.claim)) {
      this.#heard = { sequence: own.sequence, claim: own.claim, at: now };
    }
    return now - (this.#heard?.at ?? this.#began);
  }
}

const NOTHING_YET: SyncReading = { phase: 'attaching', readBytes: 0, totalBytes: -1, doing: 'the copy begins' };

function readingOf(state: CopyState | undefined): SyncReading {
  if (!state) return NOTHING_YET;
  const done = state.nodes.reduce((sum, { keys }) => sum + keys, 0);
  const total = state.nodes.reduce((sum, { keysTotal }) => sum + keysTotal, 0);
  const keys = { done, total, perSecond: state.keysPerSecond, etaMs: state.etaMs };
  if (state.phase === 'scanning') return { phase: 'copying', readBytes: state.totals.bytes, totalBytes: -1, keys };
  return {
    phase: 'online',
    readBytes: state.totals.bytes,
    totalBytes: -1,
    lagSeconds: Math.round(state.oldestMs / 1000),
    ...(state.phase === 'reconciling' ? { doing: 'comparing again what was not heard' } : {}),
  };
}

function tenthOf({ phase, keys }: SyncReading): number {
  if (phase === 'online') return 10;
  return keys && keys.total > 0 ? Math.floor((10 * keys.done) / keys.total) : 0;
}
