/** Both servers of a dual write, opened for bringing the one up to date from the other: the authority, and the other. */
import type { DualSide } from '../../../spec/dual-write.ts';
import { otherSide } from '../../../spec/dual-write.ts';
import type { RedisDualWrite } from '../../../spec/kind-redis-dual-write.ts';
import { redisCopy } from '../../../spec/redis-copy.ts';
import { processesOf } from '../copy/checkpoint.ts';
import { Copier } from '../copy/copier.ts';
import { connectionsOf } from '../copy/copy-activity.ts';
import { openSide, topologyNow } from '../copy/open-side.ts';
import { Stop } from '../copy/stop.ts';
import { slotsMoved, Target } from '../copy/target.ts';
import { noTotals, type CopyConnections, type CopySide } from '../copy/types.ts';

export class DualSession {
  readonly authoritySide: DualSide;
  /** The primaries of the authority, by slot. */
  readonly authority: Target;
  readonly other: Target;
  readonly copier: Copier;
  readonly notes = new Set<string>();
  readonly #stop: Stop;
  readonly #ends: CopyConnections;
  /** Who had which slots when it was opened. */
  readonly #slots: Record<DualSide, string>;

  private constructor(
    migration: RedisDualWrite,
    side: DualSide,
    sides: { authority: Opened; other: Opened },
    ends: CopyConnections,
    stop: Stop,
  ) {
    this.authoritySide = side;
    this.authority = sides.authority.target;
    this.other = sides.other.target;
    const [here, there] = [sides.authority.slots, sides.other.slots];
    this.#slots = side === 'source' ? { source: here, target: there } : { source: there, target: here };
    this.#ends = ends;
    this.#stop = stop;
    this.copier = new Copier({
      target: this.other,
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
          return new DualSession(migration, side, { authority, other }, ends, stop);
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

  /**
   * After a look at all keys: a slot that went from a server not yet looked at to one that was, nobody has seen.
   * @throws CopyError SLOTS_MOVED, or OBSTACLE where slots are moving: both can be tried again
   */
  async checkSlots(): Promise<void> {
    for (const side of ['source', 'target'] as const) {
      const { signature } = await topologyNow(side, this.#ends[side]);
      const servers = side === this.authoritySide ? this.authority.servers : this.other.servers;
      if (signature !== this.#slots[side] && servers[0]) throw slotsMoved(servers[0]);
      for (const server of servers) await server.checkStill();
    }
  }

  /** Its connections never reconnect: as long as one answers, it is with this process. */
  processes(): DualProcesses {
    const [here, there] = [processesOf(this.authority), processesOf(this.other)];
    return this.authoritySide === 'source' ? { source: here, target: there } : { source: there, target: here };
  }

  /** Each server of both sides answers twice: what was sent to it before has ended, and it is the process it was. */
  async settle(): Promise<void> {
    for (const server of [...this.authority.servers, ...this.other.servers]) {
      const redis = await server.db(0);
      await redis.ping();
      await redis.ping();
    }
  }

  close(): void {
    this.copier.close();
    this.#stop.now(new Error('the session has ended'));
  }
}

/** Digests of the processes that held the keys when both sides were found equal. */
export type DualProcesses = Record<DualSide, string>;

/**
 * What a restart, a failover or an emptied node has lost is in no journal: only another look at all keys finds it.
 * @returns why what was compared says nothing any more of this side; undefined where it does, or nothing is known of it
 */
export function changedSince(
  compared: DualProcesses | undefined,
  now: DualProcesses,
  sides: readonly DualSide[],
): string | undefined {
  const changed = compared === undefined ? [] : sides.filter((side) => compared[side] !== now[side]);
  if (changed.length === 0) return undefined;
  return `the ${changed.join(' and the ')} is not the process any more that was compared (restarted, failed over, or a node was added), and may lack what was written before: everything is to be copied and compared again`;
}

interface Opened {
  target: Target;
  slots: string;
}

async function opened(side: DualSide, ends: CopySide, stop: Stop): Promise<Opened> {
  const { servers, topology } = await openSide({ side, ends, fail: stop.now, note: () => {}, signal: stop.signal });
  return { target: new Target(servers, topology.cluster), slots: topology.signature };
}
