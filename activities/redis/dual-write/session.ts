/** Both servers of a dual write, opened for bringing the one up to date from the other: the authority, and the other. */
import type { DualSide } from '../../../spec/dual-write.ts';
import { otherSide } from '../../../spec/dual-write.ts';
import type { RedisDualWrite } from '../../../spec/kind-redis-dual-write.ts';
import { redisCopy } from '../../../spec/redis-copy.ts';
import { Copier } from '../copy/copier.ts';
import { connectionsOf } from '../copy/copy-activity.ts';
import { openSide } from '../copy/open-side.ts';
import { Stop } from '../copy/stop.ts';
import { Target } from '../copy/target.ts';
import { noTotals, type CopySide } from '../copy/types.ts';

export class DualSession {
  readonly authoritySide: DualSide;
  /** The primaries of the authority, by slot. */
  readonly authority: Target;
  readonly other: Target;
  readonly copier: Copier;
  readonly notes = new Set<string>();
  readonly #stop: Stop;

  private constructor(
    migration: RedisDualWrite,
    side: DualSide,
    sides: { authority: Target; other: Target },
    stop: Stop,
  ) {
    this.authoritySide = side;
    this.authority = sides.authority;
    this.other = sides.other;
    this.#stop = stop;
    this.copier = new Copier({
      target: sides.other,
      options: {
        ...redisCopy.parse({}),
        ...migration.backfill,
        mode: 'replace',
        // Bringing the old server up to date from a newer one is the only way back.
        ...(side === 'target' ? { olderTarget: 'rebuild' } : {}),
        allowNonEmptyTarget: true,
        migrationId: migration.id,
      },
      totals: noTotals(),
      note: (text) => this.notes.add(text),
      onStream: () => {},
      onRebuilt: () => {},
    });
  }

  /**
   * Ends connections of an earlier session of this migration, with what it had in flight.
   * @param signal ends every wait of the session, with its reason
   * @throws what connecting throws; CopyError OBSTACLE where a side is a replica, or its slots move
   */
  static async open(migration: RedisDualWrite, side: DualSide, signal?: AbortSignal): Promise<DualSession> {
    const stop = new Stop(signal);
    const { id: migrationId, source, target } = migration;
    const ends = connectionsOf({ migrationId, source, target }, 'repair');
    try {
      return await stop.during(
        (async () => {
          const authority = await opened(side, ends[side], stop);
          const other = await opened(otherSide(side), ends[otherSide(side)], stop);
          return new DualSession(migration, side, { authority, other }, stop);
        })(),
      );
    } catch (error) {
      stop.now(new Error('the session could not be opened'));
      throw error;
    }
  }

  get signal(): AbortSignal {
    return this.#stop.signal;
  }

  wait = (ms: number): Promise<void> => this.#stop.wait(ms);

  /** Runs `work` until its end or the session's. @throws the reason of the stop, where it was stopped */
  during<T>(work: () => Promise<T>): Promise<T> {
    return this.#stop.during(work());
  }

  /** Databases that hold keys on any server of the side. */
  async databases(side: Target): Promise<number[]> {
    const found = new Set<number>();
    for (const server of side.servers) for (const db of (await server.databases()).keys()) found.add(db);
    return [...found].sort((a, b) => a - b);
  }

  close(): void {
    this.copier.close();
    this.#stop.now(new Error('the session has ended'));
  }
}

async function opened(side: DualSide, ends: CopySide, stop: Stop): Promise<Target> {
  const { servers, topology } = await openSide({ side, ends, fail: stop.now, note: () => {}, signal: stop.signal });
  return new Target(servers, topology.cluster);
}
