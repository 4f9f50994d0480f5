/** One copy from its beginning to its end: opens both sides, scans, follows if asked to, drains, closes. */
import type { CopyRedisResult } from '../../../spec/redis-copy.ts';
import { matcher } from '../compare/key-names.ts';
import { ALWAYS_IGNORED } from '../compare/types.ts';
import { checkOptions, optionsDigest, processesOf, usable } from './checkpoint.ts';
import { Copier } from './copier.ts';
import { stateOf } from './copy-state.ts';
import { drain } from './drain.ts';
import { findStreams } from './find-streams.ts';
import { Follower } from './follow.ts';
import { claimTarget, releaseTarget, requireOwner } from './obstacles.ts';
import { openSide, topologyNow } from './open-side.ts';
import { LatencyGuard, Pace } from './pace.ts';
import { Rates } from './rates.ts';
import { Streams } from './recent.ts';
import { NodeScan } from './scan-node.ts';
import type { Server } from './server.ts';
import { Stop } from './stop.ts';
import { Target, slotsMoved } from './target.ts';
import { noTotals } from './types.ts';
import type { CopyCheckpoint, CopyConnections, CopyOptions, CopyState } from './types.ts';

export interface CopyRun {
  /** Follow what is changed during the scan, and after it until `drain`. */
  follow?: boolean;
  /** The target was taken before, and this is who owns it; whoever took it also frees it. `holdsMore`: it may hold keys that the source lacks. */
  claim?: { owner: string; holdsMore: boolean };
  resumeFrom?: CopyCheckpoint;
  onProgress?: (state: CopyState, checkpoint: CopyCheckpoint) => void;
  /** How often `onProgress` is called, ms. */
  progressIntervalMs?: number;
  signal?: AbortSignal;
}

const PROGRESS_MS = 500;
/** Of as many streams the names are remembered, to be copied again where their groups move, and behind the fence. */
const MOST_STREAMS = 10_000;

export class CopySession {
  readonly #stop: Stop;
  readonly #notes = new Set<string>();
  readonly #totals = noTotals();
  readonly #started = performance.now();
  readonly #rates = new Rates();
  readonly #options: CopyOptions;
  readonly #run: CopyRun;
  readonly #connections: CopyConnections;
  readonly #streams = new Streams(MOST_STREAMS);
  #earlierMs = 0;
  #resumed = false;
  #signature = '';
  #sources: Server[] = [];
  #target: Target | undefined;
  #copier: Copier | undefined;
  #follower: Follower | undefined;
  #scans: NodeScan[] = [];
  readonly #guards = new Map<Server, LatencyGuard>();
  #asides: { disconnect: () => void }[] = [];
  #phase: CopyState['phase'] = 'scanning';
  #scanned = false;

  private constructor(connections: CopyConnections, options: CopyOptions, run: CopyRun) {
    this.#connections = connections;
    this.#options = options;
    this.#run = run;
    this.#stop = new Stop(run.signal);
  }

  /**
   * Opens both sides, takes the target, and, where it is to follow, subscribes; no key is copied yet.
   * @throws CopyError with the reason where something would be lost in silence; what connecting throws
   */
  static async open(connections: CopyConnections, options: CopyOptions, run: CopyRun = {}): Promise<CopySession> {
    checkOptions(options, run.follow ?? false);
    const session = new CopySession(connections, options, run);
    try {
      await session.#stop.during(session.#open());
      return session;
    } catch (error) {
      session.close();
      throw error;
    }
  }

  /** Copies every key that is there. @throws CopyError; what the connections throw, after which a new session goes on from the last checkpoint */
  async firstCopy(): Promise<void> {
    await this.#stop.during(Promise.all(this.#scans.map((scan) => scan.run())));
    // A slot that went from a node that was not scanned yet to one that was: its keys were seen by nobody.
    await this.#stop.during(this.#checkTopology());
    if (this.#resumed && this.#follower) {
      // Of the streams that an earlier attempt copied, only the keyspace tells by now.
      const search = { sources: this.#sources, databasesOf: this.#databasesOf };
      const remember = (server: Server, db: number, keys: Buffer[]) =>
        keys.forEach((key) => this.#streams.add(server, db, key));
      await this.#stop.during(findStreams(search, remember));
    }
    this.#scanned = true;
    this.#phase = this.#follower ? 'following' : 'done';
    if (this.#follower) {
      this.#stop.background(this.#follower.reconcileForEver());
      this.#stop.background(this.#follower.copyMovedStreams());
    }
    this.#report();
  }

  /**
   * Ends the following: returns when everything that was written before the call is on the target, and what was touched
   * last has been compared. Only behind a fence does that stay so.
   * @throws CopyError DEADLINE, DIFFERS after which the session follows on
   */
  async drain(timeoutMs: number): Promise<void> {
    const [follower, target, copier] = [this.#follower, this.#target, this.#copier];
    if (!follower || !target || !copier) throw new Error('copy: only a session that follows can be drained');
    this.#phase = 'draining';
    try {
      await this.#stop.during(
        drain(
          {
            follower,
            target,
            copier,
            streams: this.#streams,
            ...this.#clock,
            sources: this.#sources,
            databasesOf: this.#databasesOf,
          },
          timeoutMs,
        ),
      );
      this.#phase = 'done';
    } catch (error) {
      this.#phase = 'following';
      follower.hurry(false);
      throw error;
    }
  }

  /** Its outcome, or the session's failure, whichever comes first: for what waits beside it. */
  during<T>(work: Promise<T>): Promise<T> {
    return this.#stop.during(work);
  }

  /** Ends it with a reason. */
  fail(reason: unknown): void {
    this.#stop.now(reason);
  }

  get notes(): string[] {
    return [...this.#notes];
  }

  /** Gives the target free, where the session took it itself, and closes. @throws what the connections throw */
  async end(): Promise<CopyRedisResult> {
    if (this.#target && this.#options.mode === 'replace' && !this.#run.claim) await releaseTarget(this.#target);
    this.#report();
    const { totals, nodes } = this.state();
    this.close();
    return { totals, nodes, notes: this.notes, durationMs: this.#elapsedMs() };
  }

  close(): void {
    this.#stop.now(new Error('the copy has ended'));
    this.#follower?.close();
    this.#copier?.close();
    for (const redis of this.#asides) redis.disconnect();
  }

  state(): CopyState {
    const rested = [...this.#guards.values()].reduce((sum, { restedMs }) => sum + restedMs, this.#totals.restedMs);
    return stateOf({
      phase: this.#phase,
      scanned: this.#scanned,
      scans: this.#scans,
      follower: this.#follower,
      rates: this.#rates,
      totals: { ...this.#totals, restedMs: rested },
    });
  }

  checkpoint(): CopyCheckpoint {
    return {
      version: 1,
      options: optionsDigest(this.#options),
      targets: this.#target ? processesOf(this.#target) : '',
      nodes: this.#scans.map((scan) => scan.checkpoint()),
      totals: this.state().totals,
      elapsedMs: this.#elapsedMs(),
    };
  }

  #note = (text: string) => void this.#notes.add(text);
  #elapsedMs = () => Math.round(this.#earlierMs + performance.now() - this.#started);
  #databasesOf = async (server: Server): Promise<Map<number, number>> => {
    const databases = await server.databases();
    const { databases: asked } = this.#options;
    return asked ? new Map([...databases].filter(([db]) => asked.includes(db))) : databases;
  };

  async #open(): Promise<void> {
    const { source: from, target: to } = this.#connections;
    const opening = { fail: this.#stop.now, note: this.#note, signal: this.#stop.signal };
    const source = await openSide({ side: 'source', ends: from, ...opening });
    const there = await openSide({ side: 'target', ends: to, ...opening });
    this.#sources = source.servers;
    this.#signature = source.topology.signature;
    this.#target = new Target(there.servers, there.topology.cluster);
    const mayHoldMore = await this.#claim(this.#target);
    const resumed = usable(this.#run.resumeFrom, this.#options, this.#sources, this.#target, this.#note);
    if (resumed) {
      this.#resumed = true;
      Object.assign(this.#totals, resumed.totals);
      this.#earlierMs = resumed.elapsedMs;
    }
    const { target, context } = this.#context();
    if (this.#run.follow) {
      const follower = new Follower({
        ...context,
        target,
        streams: this.#streams,
        sources: this.#sources,
        totals: this.#totals,
        note: this.#note,
        migrationId: this.#options.migrationId,
        queueKeys: this.#options.queueKeys,
        checkTopology: this.#checkTopology,
      });
      this.#follower = follower;
      await follower.open();
      // What was changed while nobody listened was not heard: all that was copied before is compared.
      if (resumed || mayHoldMore) for (const server of this.#sources) server.dirty.markAll();
      this.#stop.background(follower.run(this.#options.workers));
      this.#stop.background(follower.lookForEver());
    }
    for (const server of this.#sources) {
      const aside = await server.aside();
      this.#asides.push(aside);
      const guard = new LatencyGuard(() => aside.ping(), this.#options.maxLatency, this.#clock);
      this.#guards.set(server, guard);
      this.#stop.background(guard.watch());
      const from = resumed?.nodes.find(({ id }) => id === server.id);
      this.#scans.push(new NodeScan(server, context, from));
    }
    this.#stop.background(this.#reportForEver());
  }

  /** @returns whether the target may hold keys that the source lacks */
  async #claim(target: Target): Promise<boolean> {
    const { claim } = this.#run;
    if (claim) {
      await requireOwner(target, claim.owner);
      return claim.holdsMore;
    }
    // In mode `keep` others write to the target, and what they have there stays.
    return this.#options.mode === 'replace' && claimTarget(target, this.#options, this.#note);
  }

  get #clock() {
    return { wait: this.#stop.wait, signal: this.#stop.signal };
  }

  #context() {
    const options = this.#options;
    const target = this.#target!;
    const copier = new Copier({
      target,
      options,
      totals: this.#totals,
      note: this.#note,
      onStream: this.#run.follow ? (server, db, key) => this.#streams.add(server, db, key) : undefined,
      onRebuilt: (server, db, key, tookMs) => this.#follower?.rebuilt(server, db, key, tookMs),
    });
    this.#copier = copier;
    const ignored = matcher([...ALWAYS_IGNORED, ...options.ignore]);
    const limits = { keysPerSecond: options.maxKeysPerSecond, bytesPerSecond: options.maxBytesPerSecond };
    const context = {
      target,
      copier,
      options,
      pace: new Pace(limits, this.#clock),
      guardOf: (server: Server) => this.#guards.get(server),
      wanted: (key: Buffer) => !ignored(key),
      databasesOf: this.#databasesOf,
      workers: Math.max(1, Math.ceil(options.workers / this.#sources.length)),
      fail: this.#stop.now,
      ...this.#clock,
    };
    return { target, context };
  }

  /** @throws CopyError SLOTS_MOVED, and OBSTACLE where slots are moving or a node is no primary any more */
  #checkTopology = async (): Promise<void> => {
    const now = await topologyNow('source', this.#connections.source);
    if (now.signature !== this.#signature && this.#sources[0]) throw slotsMoved(this.#sources[0]);
    for (const server of this.#sources) await server.checkStill();
  };

  async #reportForEver(): Promise<void> {
    for (;;) {
      await this.#stop.wait(this.#run.progressIntervalMs ?? PROGRESS_MS);
      this.#report();
    }
  }

  #report(): void {
    this.#run.onProgress?.(this.state(), this.checkpoint());
  }
}

/** Copies every key once, without following. @throws as CopySession does */
export async function copyOnce(
  connections: CopyConnections,
  options: CopyOptions,
  run: Omit<CopyRun, 'follow'> = {},
): Promise<CopyRedisResult> {
  const session = await CopySession.open(connections, options, run);
  try {
    await session.firstCopy();
    return await session.end();
  } finally {
    session.close();
  }
}
