/**
 * Follows the source by its keyspace notifications: each touched key is copied again as it is by then, so that the last
 * state wins. What could not be heard is found by reconciling.
 */
import type { CopyTotals } from '../../../spec/redis-copy.ts';
import type { Copier } from './copier.ts';
import { MovedStreams } from './moved-streams.ts';
import { unheardClasses } from './notifications.ts';
import { calledUnheard, callsOf, checkNotifications, checkSettingStill } from './obstacles.ts';
import { reconcile } from './reconcile.ts';
import type { ReconcileContext } from './reconcile.ts';
import { RecentKeys } from './recent.ts';
import type { Streams } from './recent.ts';
import type { Server } from './server.ts';
import { tagOf } from './slots.ts';
import { Subscription } from './subscription.ts';
import { TouchedKeys } from './touched.ts';
import { CopyError } from './types.ts';

const BATCH = 200;
const IDLE_MS = 50;
const BUSY_MS = 5;
const LOOK_MS = 2_000;
const PROBE_MS = 30_000;
/** A large key is rebuilt again at the earliest after so many times what it took. */
const REST_AFTER_REBUILD = 2;

export interface FollowContext extends ReconcileContext {
  copier: Copier;
  streams: Streams;
  sources: readonly Server[];
  totals: CopyTotals;
  note: (text: string) => void;
  /** @throws CopyError SLOTS_MOVED where slots have changed hands since the beginning */
  checkTopology: () => Promise<void>;
  migrationId: string;
  queueKeys: number;
}

export class Follower {
  readonly subscriptions: readonly Subscription[];
  readonly recent = new RecentKeys();
  readonly #queue: TouchedKeys;
  readonly #context: FollowContext;
  readonly #moved: MovedStreams;
  readonly #calls = new Map<Server, ReadonlyMap<string, number>>();
  /** The node that is being reconciled. */
  #reconciling: Server | undefined;
  #hurried = false;
  /** Events of the probe key, by node. */
  readonly #probed = new Map<Server, Set<string>>();

  constructor(context: FollowContext) {
    this.#context = context;
    this.#queue = new TouchedKeys(context.queueKeys);
    this.#moved = new MovedStreams(context);
    this.subscriptions = context.sources.map((server) => this.#subscription(server));
  }

  get queued(): number {
    return this.#queue.size + this.#context.copier.inHand;
  }
  get oldestMs(): number {
    return Math.round(Math.max(this.#queue.oldestMs, this.#context.copier.oldestMs));
  }
  get reconciling(): Server | undefined {
    return this.#reconciling;
  }
  /** Nothing is to be reconciled and every subscription is up: what is queued is all that is missing. */
  get hearsAll(): boolean {
    const { sources } = this.#context;
    return !this.#reconciling && !sources.some(({ dirty }) => dirty.any) && this.subscriptions.every(({ up }) => up);
  }
  get quiet(): boolean {
    return this.hearsAll && this.queued === 0 && !this.#moved.busy;
  }

  /**
   * Subscribes, and proves that events come. Before any key is read.
   * @throws CopyError OBSTACLE where changes would be missed
   */
  async open(): Promise<void> {
    for (const subscription of this.subscriptions) {
      const { server } = subscription;
      const known = await checkNotifications(server);
      await subscription.open();
      await this.#prove(subscription, known).catch((error: unknown) => {
        throw heldBack(error, server) ?? error;
      });
      this.#calls.set(server, await callsOf(server));
    }
  }

  /** Copies what is touched, until the signal is aborted. */
  async run(workers: number): Promise<void> {
    await Promise.all(Array.from({ length: workers }, () => this.#work()));
  }

  /** Reconciles what is dirty, until the signal is aborted. Begun once the scan is over. */
  async reconcileForEver(): Promise<void> {
    const { signal, wait } = this.#context;
    while (!signal.aborted) {
      await this.#reconcileDirty();
      await wait(IDLE_MS);
    }
  }

  /** Until the signal is aborted. From the beginning: what is forgotten while a long scan goes on can't be found after it. */
  async lookForEver(): Promise<void> {
    const { signal, wait } = this.#context;
    while (!signal.aborted) {
      await wait(LOOK_MS);
      await this.look();
    }
  }

  /** Copies streams again whose groups have moved, until the signal is aborted. Begun once the scan is over. */
  async copyMovedStreams(): Promise<void> {
    await this.#moved.copyForEver();
  }

  /** Looks for what sends no events: FLUSHALL, FLUSHDB, SWAPDB, slots that moved, notifications that were switched off. */
  async look(): Promise<void> {
    const { sources, note } = this.#context;
    await this.#context.checkTopology();
    for (const server of sources) {
      await checkSettingStill(server);
      const now = await callsOf(server);
      const before = this.#calls.get(server);
      this.#calls.set(server, now);
      if (before && !calledUnheard(before, now)) continue;
      note(`${server.name}: FLUSHALL, FLUSHDB, SWAPDB or RESETSTAT was called, which sends no events: compared again`);
      server.dirty.markAll();
    }
  }

  /** While it drains, large keys do not wait between two copies: nobody touches them any more. */
  hurry(on: boolean): void {
    this.#hurried = on;
    this.#moved.hold(on);
    if (on) this.#queue.release();
  }

  rebuilt(server: Server, db: number, key: Buffer, tookMs: number): void {
    if (!this.#hurried) this.#queue.hold(server, db, key, performance.now() + tookMs * REST_AFTER_REBUILD);
  }

  close(): void {
    for (const subscription of this.subscriptions) subscription.close();
  }

  #subscription(server: Server): Subscription {
    const { totals, note, wanted, fail, wait, signal, options, migrationId } = this.#context;
    const probe = probeKey(server, migrationId);
    let lost = false;
    return new Subscription(server, migrationId, {
      onKey: (db, key, event) => {
        if (key.equals(probe)) this.#probed.get(server)?.add(event);
        if (!wanted(key) || (options.databases && !options.databases.includes(db))) return;
        totals.events++;
        this.recent.add(server, db, key);
        if (this.#queue.add(server, db, key)) return;
        totals.overflowed++;
        server.dirty.mark(db, key);
      },
      onLost: () => {
        server.dirty.markAll();
        lost = !lost;
        if (!lost) return;
        totals.subscriptionsLost++;
        note(`${server.name}: the subscription was lost, and events with it: every key of it is compared again`);
      },
      fail,
      wait,
      signal,
    });
  }

  /** A change on a key of ours must be heard; where CONFIG is refused, one of every class. */
  async #prove(subscription: Subscription, known: 'known' | 'classes'): Promise<void> {
    const { server } = subscription;
    const key = probeKey(server, this.#context.migrationId);
    const heard = new Set<string>();
    this.#probed.set(server, heard);
    const redis = await server.db(0);
    const barrier = () => subscription.barrier(redis, PROBE_MS);
    if (known === 'classes') {
      const unheard = await unheardClasses(redis, key, () => heard, barrier);
      if (unheard === '') return;
      throw new CopyError(
        'OBSTACLE',
        `copy: ${server.name} sends no notifications of the classes "${unheard}" (CONFIG is refused, so they were tried out)`,
        { remedy: 'set notify-keyspace-events to KA (on ElastiCache in the parameter group)' },
      );
    }
    await redis.set(key, '1', 'PX', 60_000);
    await redis.del(key);
    await barrier();
    if (heard.has('set') && heard.has('del')) return;
    throw new CopyError('OBSTACLE', `copy: ${server.name} notifies of nothing, though its setting says so`, {
      remedy: 'may our user use the channels __keyspace@*? (ACL: &__keyspace@*)',
    });
  }

  async #work(): Promise<void> {
    const { copier, signal, wait } = this.#context;
    while (!signal.aborted) {
      const taken = this.#queue.take(BATCH, copier.isBusy);
      const first = taken[0];
      if (!first) {
        // Held and busy keys come free without a word.
        if (this.#queue.size > 0) await wait(BUSY_MS);
        else await Promise.race([this.#queue.changed(), wait(IDLE_MS)]);
        continue;
      }
      const left = await copier.copy(
        first.server,
        first.db,
        taken.map(({ key }) => key),
      );
      for (const key of left) {
        if (!this.#queue.add(first.server, first.db, key, first.at)) first.server.dirty.mark(first.db, key);
      }
    }
  }

  async #reconcileDirty(): Promise<void> {
    for (const { server, up } of this.subscriptions) {
      // Deaf, it would be dirty again before the pass has ended.
      if (!server.dirty.any || !up) continue;
      this.#reconciling = server;
      await reconcile(this.#context, server);
      this.#context.totals.reconciled++;
      this.#reconciling = undefined;
    }
  }
}

/** Begun again while the fence is up, of a cutover that will be undone: events can only be tried out with a write. */
function heldBack(error: unknown, server: Server): CopyError | undefined {
  if (!(error instanceof Error) || !error.message.startsWith('NOREPLICAS')) return undefined;
  return new CopyError(
    'OBSTACLE',
    `copy: ${server.name} refuses writes now (${error.message}), so that it can’t be tried out whether it notifies`,
    { retryable: true, remedy: 'it goes on when the fence is lifted; else see min-replicas-to-write of the source' },
  );
}

const probeKey = (server: Server, migrationId: string) =>
  Buffer.from(`cutover:${migrationId}:probe:{${tagOf(server.slots[0]?.[0] ?? 0)}}`);
