/** One client of the application: writes one thing after another, and sticks to each until it is acknowledged. */
import { Redis } from 'ioredis';
import { AckLog, type Endpoint } from './acknowledged.ts';
import { ClientKeys, sendWrite } from './operations.ts';
import type { Wake } from './wake.ts';
import { failureOf } from './write-failure.ts';

/** Where to write now. `generation` goes up with each switch; it is the endpoint's index in the record. */
export interface Destination {
  generation: number;
  endpoint: Endpoint;
}

interface Connection {
  generation: number;
  redis: Redis;
}

/** A connection to the next server that is not yet used. */
export interface PreparedMove {
  take(): void;
  discard(): void;
}

export interface AppClientOptions {
  run: string;
  client: number;
  /** Milliseconds between two writes of this client. */
  intervalMs: number;
  destination: () => Destination;
  stopped: () => boolean;
  wake: Wake;
  onAck: (at: number, generation: number, ambiguous: number, reply: number) => void;
  onError: (kind: string) => void;
}

const CONNECT_TIMEOUT_MS = 2_000;
const ANSWER_TIMEOUT_MS = 5_000;
/** After a switch, an answer of the old server is waited for this long. */
const OLD_ANSWER_MS = 1_000;
const FIRST_RETRY_MS = 2;
const LAST_RETRY_MS = 50;
const LARGEST_BACKLOG_MS = 1_000;

function openConnection(endpoint: Endpoint, name: string): Redis {
  const redis = new Redis({
    host: endpoint.host,
    port: endpoint.port,
    ...(endpoint.password === undefined ? {} : { password: endpoint.password }),
    connectionName: name,
    lazyConnect: true,
    connectTimeout: CONNECT_TIMEOUT_MS,
    commandTimeout: ANSWER_TIMEOUT_MS,
    // Nothing may be sent twice behind our back, or wait unseen: what became of each write is our own business here.
    retryStrategy: () => null,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
  });
  return redis;
}

/** Epoch ms with a fraction; never goes back. */
export function now(): number {
  return performance.timeOrigin + performance.now();
}

export class AppClient {
  readonly log: AckLog;
  readonly #options: AppClientOptions;
  readonly #keys: ClientKeys;
  #connection: Connection | undefined;

  constructor(options: AppClientOptions) {
    this.#options = options;
    this.log = new AckLog(options.client);
    this.#keys = new ClientKeys(options.run, options.client);
  }

  /** Connects ahead of a switch, so that the first write there does not wait for it. @throws where it can't be reached */
  async prepare(destination: Destination): Promise<PreparedMove> {
    const redis = await this.#connect(destination.endpoint);
    return {
      take: () => {
        const old = this.#connection?.redis;
        this.#connection = { generation: destination.generation, redis };
        // A write that is under way there may still be answered.
        if (old) setTimeout(() => old.disconnect(), OLD_ANSWER_MS).unref();
      },
      discard: () => redis.disconnect(),
    };
  }

  /** Runs until stopped. Never rejects. */
  async run(): Promise<void> {
    const { stopped, wake, intervalMs } = this.#options;
    let due = performance.now() + Math.random() * intervalMs;
    while (!stopped()) {
      const early = due - performance.now();
      // A timer is good to about a millisecond, so short waits are made up for later instead.
      if (early > 1) {
        await wake.sleep(early);
        continue;
      }
      await this.#write(this.log.count);
      // What was held up is made up for, as users would: but not all that a long pause held up.
      due = Math.max(due + intervalMs, performance.now() - LARGEST_BACKLOG_MS);
    }
    this.#connection?.redis.disconnect();
  }

  async #connect(endpoint: Endpoint): Promise<Redis> {
    const redis = openConnection(endpoint, `app:${this.#options.client}`);
    let cause: Error | undefined;
    redis.on('error', (error: Error) => (cause = error));
    try {
      await redis.connect();
      return redis;
    } catch (error) {
      redis.disconnect();
      // connect() itself says no more than "Connection is closed."
      throw cause ?? error;
    }
  }

  async #write(seq: number): Promise<void> {
    const { stopped, wake, onAck, onError } = this.#options;
    let ambiguous = 0;
    let retryMs = FIRST_RETRY_MS;
    while (!stopped()) {
      let used: Connection | undefined;
      try {
        used = await this.#connected();
        const reply = await sendWrite(used.redis, this.#keys, seq);
        const at = now();
        this.log.add(at, used.generation, ambiguous, reply);
        onAck(at, used.generation, ambiguous, reply);
        return;
      } catch (error) {
        const failure = failureOf(error, used !== undefined);
        onError(failure.kind);
        if (failure.ambiguous) ambiguous++;
        if (failure.broken) this.#drop(used);
        await wake.sleep(retryMs);
        retryMs = Math.min(LAST_RETRY_MS, retryMs * 1.5);
      }
    }
    this.log.unfinished = { seq, ambiguous };
  }

  async #connected(): Promise<Connection> {
    const { generation, endpoint } = this.#options.destination();
    if (this.#connection?.generation === generation) return this.#connection;
    this.#drop(this.#connection);
    const redis = await this.#connect(endpoint);
    const meanwhile: Connection | undefined = this.#connection;
    if (meanwhile !== undefined) {
      redis.disconnect(); // A switch has put the next server's connection there.
      return meanwhile;
    }
    return (this.#connection = { generation, redis });
  }

  /** A switch may have put another connection in its place meanwhile: that one stays. */
  #drop(used: Connection | undefined): void {
    used?.redis.disconnect();
    if (this.#connection === used) this.#connection = undefined;
  }
}
