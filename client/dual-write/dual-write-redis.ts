/**
 * One client for two servers: it follows the phase of a `redis-dual-write` migration, and sends every command to the side or
 * sides that the phase asks for. In every phase reads see every acknowledged write. docs/dual-write-library.md.
 */
import { createHash } from 'node:crypto';
import { EventEmitter } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import type { ChainableCommander, RedisCommander, ScanStream, ScanStreamOptions } from 'ioredis';
import { authorityOf, dualClientName, otherSide, writesBoth } from '../../spec/dual-write.ts';
import type { DualControl, DualPhase, DualSide } from '../../spec/dual-write.ts';
import { absolute } from './absolute-expiry.ts';
import { Batch, scriptCall } from './batch.ts';
import type { BatchResults, Item, ScriptDefinition } from './batch.ts';
import { call, callOf } from './call.ts';
import type { Call } from './call.ts';
import { treatmentOf } from './command-facts.ts';
import { effectOf } from './effect.ts';
import type { Effect } from './effect.ts';
import { SecondWriteFailed, isReplyError, leaseLost, notSent, notSupported } from './errors.ts';
import { Gate } from './gate.ts';
import type { Passage, Verdict } from './gate.ts';
import { Link } from './link.ts';
import type { Sent, Use } from './link.ts';
import { settingsOf } from './options.ts';
import type { DualWriteOptions, Server, Settings } from './options.ts';
import { PhaseFollower } from './phase-follower.ts';
import { SecondWrites } from './second-write.ts';
import type { Outcome, SecondWriteFailure } from './second-write.ts';
import { addCommands, takeCallback, tell } from './surface.ts';
import type { Encoding } from './surface.ts';
import { Tickets } from './tickets.ts';
import { TouchedKeys } from './touched-keys.ts';
import { asked, decoded, effectOfAll, keysWritten, sendable, shown, stepsOf } from './transaction.ts';
import { WatchState } from './watch-state.ts';

export interface DualWriteStatus {
  id: string;
  instance: string;
  /** undefined until the first look. */
  phase: DualPhase | undefined;
  epoch: number | undefined;
  reads: DualSide | undefined;
  /** The epoch that was acknowledged to the workflow; -1: none yet. */
  acknowledgedEpoch: number;
  /** How long it may still act on what it last read, ms. 0: it refuses. */
  leaseLeftMs: number;
  /** Why the last look at the phase failed; '' if it did not. */
  trouble: string;
  held: number;
  pending: number;
  queued: number;
  recorded: number;
  failedSecondWrites: number;
}

interface Events {
  /** What holds from now on, and before. */
  phase: [now: DualControl, before: DualControl | undefined];
  /** The second side has not taken it (yet, with policy `queue`). The journal has its keys. */
  secondWriteFailed: [SecondWriteFailure];
}

export class DualWriter extends EventEmitter<Events> {
  private readonly settings: Settings;
  private readonly links: Record<DualSide, Link>;
  private readonly keyPrefix: string;
  private readonly follower: PhaseFollower;
  private readonly gate: Gate;
  private readonly tickets: Tickets;
  private readonly journal: TouchedKeys;
  private readonly second: SecondWrites;
  private readonly scripts = new Map<string, ScriptDefinition>();
  private readonly watching = new WatchState();
  private db: number;
  private closed = false;

  /** Connects at once. @throws RangeError for options that can't be */
  constructor(options: DualWriteOptions) {
    super();
    const settings = settingsOf(options);
    this.settings = settings;
    this.keyPrefix = prefixOf(options.source);
    if (prefixOf(options.target) !== this.keyPrefix) {
      throw new RangeError('dual write: keyPrefix must be the same for source and target');
    }
    this.db = databaseOf(options.source);
    const name = dualClientName(settings.id, settings.instance);
    const look = (): void => this.gate.look();
    this.links = {
      source: new Link('source', options.source, name, look),
      target: new Link('target', options.target, name, look),
    };
    this.journal = new TouchedKeys(settings.id);
    this.second = new SecondWrites(settings, this.journal, (failure) => void this.emit('secondWriteFailed', failure));
    this.tickets = new Tickets(() => this.follower.kick());
    this.follower = new PhaseFollower({
      ...this.links,
      settings,
      drained: () => this.tickets.drained,
      counters: () => this.counters(),
    });
    this.gate = new Gate(settings, (passage, db) => this.verdict(passage, db));
    this.follower.on('view', (now, before) => this.changed(now, before));
    this.follower.on('poll', look);
    this.links.source.client(0, 'control');
    for (const link of Object.values(this.links)) link.client(link.isCluster ? 0 : this.db);
    this.links.target.client(0);
    this.follower.start();
  }

  /** What it does now. */
  status(): DualWriteStatus {
    const { view } = this.follower;
    return {
      id: this.settings.id,
      instance: this.settings.instance,
      phase: view?.phase,
      epoch: view?.epoch,
      reads: view?.reads,
      acknowledgedEpoch: this.follower.acknowledgedEpoch,
      leaseLeftMs: this.follower.leaseLeftMs,
      trouble: this.follower.lastTrouble,
      ...this.counters(),
    };
  }

  /** Resolves when the phase is known and its authority can be read. @throws DualWriteError after maxHoldMs */
  async ready(): Promise<void> {
    await this.gate.pass('read', this.db, () => Promise.resolve());
  }

  /**
   * Waits for the writes under way (at most two write timeouts), takes this instance off the list, and ends the connections.
   * With policy `queue`, what still waits for another try is left to the repair.
   */
  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    this.gate.look();
    this.second.giveUp();
    const timeoutMs = this.follower.view?.writeTimeoutMs ?? 2_000;
    const until = performance.now() + 2 * timeoutMs;
    while (this.tickets.pending > 0 && performance.now() < until) await delay(5);
    await this.follower.stop(timeoutMs);
    for (const link of Object.values(this.links)) link.close();
  }

  /** As close(); the name that ioredis has for it. */
  async quit(): Promise<'OK'> {
    await this.close();
    return 'OK';
  }

  disconnect(): void {
    void this.close();
  }

  pipeline(commands?: readonly (readonly unknown[])[]): ChainableCommander {
    const each = async (items: readonly Item[]): Promise<BatchResults> => {
      const all = await Promise.allSettled(items.map(({ name, args, encoding }) => this.run(name, args, encoding)));
      return all.map((one) => (one.status === 'fulfilled' ? [null, one.value] : [one.reason as Error, undefined]));
    };
    return chainable(new Batch(each, this.scripts, commands));
  }

  multi(commands?: readonly (readonly unknown[])[] | { pipeline?: boolean }): ChainableCommander {
    if (commands !== undefined && !Array.isArray(commands) && (commands as { pipeline?: boolean }).pipeline === false) {
      throw notSupported('multi', 'use the chained form: multi().….exec()');
    }
    return chainable(
      new Batch((items) => this.transaction(items), this.scripts, Array.isArray(commands) ? commands : []),
    );
  }

  /** As of ioredis. Its keys are copied to the second side after it ran: a script is never run twice. */
  defineCommand(name: string, definition: { lua: string; numberOfKeys?: number; readOnly?: boolean }): void {
    const { lua, numberOfKeys, readOnly = false } = definition;
    const script = { lua, numberOfKeys, readOnly, sha: createHash('sha1').update(lua).digest('hex') };
    this.scripts.set(name, script);
    for (const [method, encoding] of [
      [name, 'utf8'],
      [`${name}Buffer`, null],
    ] as const) {
      const own = this as unknown as Record<string, unknown>;
      own[method] = (...args: unknown[]) => {
        const callback = takeCallback(args);
        return tell(this.runScript(script, args, encoding), callback);
      };
    }
  }

  /** On the side that is read when it is made. A change of the phase does not end it: its pages are then of the old side. */
  scanStream(options?: ScanStreamOptions): ScanStream {
    const view = this.known();
    const client = this.links[view.reads].client(this.db);
    if ('nodes' in client)
      throw notSupported('scanStream', 'a cluster is scanned node by node, with a client of your own');
    return client.scanStream(options);
  }

  /** Any command by name. The methods of the commands end here. */
  run(name: string, given: readonly unknown[], encoding: Encoding): Promise<unknown> {
    const args = [...given];
    const callback = takeCallback(args);
    return tell(this.dispatch(name, args, encoding), callback);
  }

  private dispatch(name: string, args: readonly unknown[], encoding: Encoding): Promise<unknown> {
    try {
      const what = callOf(name, args, this.keyPrefix);
      const { db } = this;
      switch (treatmentOf(what)) {
        case 'read':
          return this.gate.pass('read', db, () => this.read(what, encoding, db));
        case 'write':
          return this.gate.pass('write', db, () => this.write(what, encoding, db));
        case 'authority':
          return this.gate.pass('write', db, () => this.alone(what, encoding, db));
        case 'everywhere':
          return this.gate.pass('write', db, () => this.everywhere(what, encoding, db));
        case 'select':
          return this.selectDatabase(what);
        case 'watch':
          return this.gate.pass('read', db, () => this.watchKeys(what, db));
        case 'unwatch':
          return this.watching.end();
      }
    } catch (error) {
      return Promise.reject(error);
    }
  }

  private read(what: Call, encoding: Encoding, db: number): Promise<unknown> {
    return this.links[this.known().reads].read(what, encoding, db);
  }

  private write(original: Call, encoding: Encoding, db: number): Promise<unknown> {
    const view = this.known();
    const link = this.links[authorityOf(view)];
    const timeoutMs = view.writeTimeoutMs;
    if (!writesBoth(view.phase)) return this.only(link.send(original, encoding, db, timeoutMs));
    const what = absolute(original, link.nowMs());
    const sent = this.journal.write(link, what, asked(what.name, encoding), db, timeoutMs);
    const answer = this.both(
      original.name,
      what.keys,
      view,
      db,
      sent,
      (reply) => effectOf(what, reply),
      !link.isCluster,
    );
    return answer.then((reply) => decoded(reply, { call: what, encoding }));
  }

  private alone(what: Call, encoding: Encoding, db: number): Promise<unknown> {
    const view = this.known();
    return this.only(this.links[authorityOf(view)].send(what, encoding, db, view.writeTimeoutMs));
  }

  /** Not of the data: the other side's answer is not waited for, and its failure is only told. */
  private everywhere(what: Call, encoding: Encoding, db: number): Promise<unknown> {
    const view = this.known();
    const side = authorityOf(view);
    if (writesBoth(view.phase)) {
      const other = this.links[otherSide(side)].send(what, 'utf8', db, view.writeTimeoutMs);
      other.answer.catch(
        (error: unknown) => void this.emit('secondWriteFailed', { command: what.name, keys: [], error }),
      );
      this.tickets.take(other.ended);
    }
    return this.only(this.links[side].send(what, encoding, db, view.writeTimeoutMs));
  }

  private only({ answer, ended }: Sent): Promise<unknown> {
    this.tickets.take(ended);
    return answer;
  }

  /** What comes of a write that went to the authority: the second write, the ticket, and the answer by the policy. */
  private async both(
    name: string,
    keys: Call['keys'],
    view: DualControl,
    db: number,
    sent: Sent,
    effect: (reply: unknown) => Effect,
    inOrder: boolean,
  ): Promise<unknown> {
    const side = authorityOf(view);
    const [from, to] = [this.links[side], this.links[otherSide(side)]];
    const request = { name, keys, db, from, to, timeoutMs: view.writeTimeoutMs, inOrder };
    const outcome = this.second.follow(request, sent.answer, effect);
    this.tickets.take(Promise.all([sent.ended.catch(() => {}), outcome]).then(() => {}));
    const reply = await sent.answer;
    if (this.settings.secondWrite === 'queue') return reply;
    const came: Outcome = await outcome;
    if (this.settings.secondWrite === 'fail' && typeof came === 'object')
      throw new SecondWriteFailed(name, to.side, reply, came.failed);
    return reply;
  }

  private async transaction(items: readonly Item[]): Promise<BatchResults> {
    const steps = stepsOf(items, this.keyPrefix);
    const { db } = this;
    const watched = this.watching.take();
    const reading = steps.every(({ treatment }) => treatment === 'read');
    return this.gate.pass(reading ? 'read' : 'write', db, async () => {
      const view = this.known();
      const link = this.links[reading ? view.reads : authorityOf(view)];
      const use: Use = watched === undefined ? 'main' : 'watch';
      if (watched !== undefined && !watched.holds(view, db)) {
        watched.drop();
        return null; // as if a watched key had changed: the application tries again
      }
      const sent = sendable(steps, link.nowMs());
      const keys = keysWritten(steps);
      const timeoutMs = view.writeTimeoutMs;
      if (!writesBoth(view.phase) || keys.length === 0) {
        const results = await this.only(link.transaction(sent, db, timeoutMs, use));
        return shown(steps, results as BatchResults);
      }
      const answered = this.journal.transaction(link, sent, keys, db, timeoutMs, use);
      const effect = (results: unknown): Effect => effectOfAll(steps, sent, results as BatchResults);
      const inOrder = use === 'main' && !link.isCluster;
      return shown(steps, (await this.both('multi', keys, view, db, answered, effect, inOrder)) as BatchResults);
    });
  }

  private async runScript(script: ScriptDefinition, args: readonly unknown[], encoding: Encoding): Promise<unknown> {
    const byHash = scriptCall(script, args, 'sha');
    try {
      return await this.dispatch(byHash.name, byHash.args, encoding);
    } catch (error) {
      if (!isReplyError(error) || !error.message.startsWith('NOSCRIPT')) throw error;
      const byText = scriptCall(script, args, 'text');
      return this.dispatch(byText.name, byText.args, encoding);
    }
  }

  /** Holds for all that is sent after it, as on one connection. */
  private selectDatabase({ args }: Call): Promise<unknown> {
    const db = Number(args[0]);
    if (!Number.isSafeInteger(db) || db < 0)
      return Promise.reject(new RangeError(`dual write: database ${String(args[0])}`));
    if (db !== 0 && Object.values(this.links).some((link) => link.isCluster)) {
      return Promise.reject(notSupported('select', 'a cluster has database 0 only'));
    }
    this.db = db;
    for (const link of Object.values(this.links)) link.client(db);
    return this.gate.pass('read', db, () => Promise.resolve('OK'));
  }

  private watchKeys(what: Call, db: number): Promise<unknown> {
    const view = this.known();
    const link = this.links[authorityOf(view)];
    if (link.isCluster)
      throw notSupported('watch', 'the nodes of a cluster reconnect unseen, and a watch is lost with its connection');
    return this.watching.begin(link, view, db, call('watch', ...what.args), view.writeTimeoutMs);
  }

  /** In the gate it is known. */
  private known(): DualControl {
    const { view } = this.follower;
    if (view === undefined) throw leaseLost('the phase was not read yet; await ready()');
    return view;
  }

  private verdict(passage: Passage, db: number): Verdict {
    if (this.closed) return { refuse: notSent('the client was closed') };
    const { view } = this.follower;
    const { maxHoldMs } = this.settings;
    if (view === undefined) return { wait: `the phase is not known: ${this.follower.lastTrouble}`, ms: maxHoldMs };
    if (this.follower.leaseLeftMs <= 0) {
      return {
        refuse: leaseLost(
          `the phase was last read more than ${view.leaseMs} ms ago: ${this.follower.lastTrouble || 'this process stood still'}`,
        ),
      };
    }
    if (passage === 'write' && view.phase === 'hold') return { wait: 'the migration holds all writes', ms: maxHoldMs };
    const link = this.links[passage === 'write' ? authorityOf(view) : view.reads];
    if (link.unsupported !== undefined) return { refuse: notSupported('everything', link.unsupported) };
    return link.ready(db) ? 'go' : { wait: link.trouble(db), ms: view.writeTimeoutMs };
  }

  private changed(now: DualControl, before: DualControl | undefined): void {
    this.tickets.next();
    this.second.giveUp();
    this.emit('phase', now, before);
    this.gate.look();
  }

  private counters(): Pick<DualWriteStatus, 'held' | 'pending' | 'queued' | 'recorded' | 'failedSecondWrites'> {
    const { queued, recorded, failed } = this.second;
    return { held: this.gate.held, pending: this.tickets.pending, queued, recorded, failedSecondWrites: failed };
  }
}

/** It has the methods of all commands, put on its prototype. */
const chainable = (batch: Batch): ChainableCommander => batch as unknown as ChainableCommander;

addCommands(DualWriter.prototype, ['multi', 'quit'], (self, name, args, encoding) =>
  (self as DualWriter).run(name, args, encoding),
);

/** All commands of ioredis, by their names and with its types. */
export type DualWriteRedis = DualWriter & Omit<RedisCommander, keyof DualWriter>;
export const DualWriteRedis = DualWriter as unknown as new (options: DualWriteOptions) => DualWriteRedis;

const optionsOf = (server: Server): { keyPrefix?: unknown; db?: unknown; redisOptions?: { keyPrefix?: unknown } } =>
  ('duplicate' in server ? server.options : server) as Record<string, unknown>;

/** @throws RangeError for a prefix of bytes */
function prefixOf(server: Server): string {
  const options = optionsOf(server);
  const prefix = options.keyPrefix ?? options.redisOptions?.keyPrefix ?? '';
  if (typeof prefix !== 'string') throw new RangeError('dual write: keyPrefix must be a string');
  return prefix;
}

const databaseOf = (server: Server): number => Number(optionsOf(server).db ?? 0);
