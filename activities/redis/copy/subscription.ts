/**
 * Hears which keys of one source node are touched. Pub/Sub has no replay: what is sent while no connection is up is lost,
 * so that every loss is told, and has to be answered by a reconciling pass over the node.
 */
import type { Redis } from 'ioredis';
import { randomUUID } from 'node:crypto';
import { eventOf } from './notifications.ts';
import type { Server } from './server.ts';
import { CopyError } from './types.ts';

const PATTERN = '__keyspace@*__:*';
/** A connection that is dead without saying so is found out by this. */
const PING_MS = 5_000;
const REOPEN_FOR_MS = 60_000;
const REOPEN_PAUSE_MS = 500;

export interface Listener {
  onKey: (db: number, key: Buffer, event: string) => void;
  /** Events may have been missed until now. Called when it is lost, and again when it is back. */
  onLost: () => void;
  fail: (error: unknown) => void;
  wait: (ms: number) => Promise<void>;
  signal: AbortSignal;
}

export class Subscription {
  readonly server: Server;
  #connection: Redis | undefined;
  #up = false;
  #losses = 0;
  #reachedTokens = new Set<string>();
  readonly #barrierPrefix: string;
  readonly #listener: Listener;

  constructor(server: Server, migrationId: string, listener: Listener) {
    this.server = server;
    this.#listener = listener;
    // The nodes of a cluster send each message on to all others: only this node's own barrier counts here.
    this.#barrierPrefix = `cutover:${migrationId}:barrier:${server.id}:`;
  }

  /** Whether events are heard at this moment. */
  get up(): boolean {
    return this.#up;
  }

  /** @throws what connecting throws; NOPERM where channels are not permitted */
  async open(): Promise<void> {
    const redis = await this.server.aside();
    redis.on('pmessageBuffer', (_: unknown, channel: Buffer, message: Buffer) => {
      const event = eventOf(channel);
      if (!event) return;
      if (event.key.toString('latin1').startsWith(this.#barrierPrefix)) this.#reachedTokens.add(message.toString());
      else this.#listener.onKey(event.db, event.key, message.toString('latin1'));
    });
    try {
      await redis.psubscribe(PATTERN);
      // Closed meanwhile, when there was nothing to close yet.
      this.#listener.signal.throwIfAborted();
    } catch (error) {
      redis.disconnect();
      throw error;
    }
    redis.once('close', () => this.#lost(redis));
    if (redis.status === 'end' || redis.status === 'close') throw new Error('Connection is closed.');
    this.#connection = redis;
    this.#up = true;
    void this.#keepAlive(redis);
  }

  close(): void {
    this.#up = false;
    this.#connection?.disconnect();
  }

  /**
   * Returns when every event of what was written on this node before the call has been heard: a message sent through the
   * same server comes after them. PUBLISH is no write, and a fence does not hold it up.
   * @throws CopyError DEADLINE
   */
  async barrier(publisher: Redis, timeoutMs: number): Promise<void> {
    const token = randomUUID();
    const channel = `__keyspace@0__:${this.#barrierPrefix}`;
    const deadline = performance.now() + timeoutMs;
    const losses = this.#losses;
    try {
      await publisher.publish(channel, token);
      while (!this.#reachedTokens.has(token)) {
        // Lost, and this message with it: what it had to prove is up to the reconciling pass.
        if (this.#losses !== losses) return;
        if (performance.now() > deadline) {
          throw new CopyError(
            'DEADLINE',
            `copy: no notification came from ${this.server.name} within ${timeoutMs} ms`,
            {
              retryable: true,
              remedy: 'is the server, or this worker, overloaded? May our user use the channels __keyspace@*?',
            },
          );
        }
        await this.#listener.wait(5);
      }
    } finally {
      this.#reachedTokens.delete(token);
    }
  }

  async #keepAlive(redis: Redis): Promise<void> {
    try {
      while (this.#connection === redis && this.#up && !this.#listener.signal.aborted) {
        await this.#listener.wait(PING_MS);
        await redis.ping();
      }
    } catch {
      // No answer in time: events may be lost already.
      redis.disconnect();
    }
  }

  #lost(redis: Redis): void {
    if (this.#connection !== redis || this.#listener.signal.aborted) return;
    this.#up = false;
    this.#losses++;
    this.#listener.onLost();
    void this.#reopen();
  }

  async #reopen(): Promise<void> {
    const deadline = performance.now() + REOPEN_FOR_MS;
    while (!this.#listener.signal.aborted) {
      try {
        await this.open();
        // Marked again: a pass that began before now may have read a key before its lost change.
        this.#listener.onLost();
        return;
      } catch (error) {
        if (performance.now() > deadline) {
          this.#listener.fail(error);
          return;
        }
        await this.#listener.wait(REOPEN_PAUSE_MS).catch(() => {});
      }
    }
  }
}
