/** Connections of our own to one side, with its clock, its version, and a bound on how long an answer may take. */
import type { Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { Redis } from 'ioredis';
import type { Cluster, RedisOptions } from 'ioredis';
import type { DualSide } from '../../spec/dual-write.ts';
import { call, toCommand } from './call.ts';
import type { Call } from './call.ts';
import { isReplyError, timedOut } from './errors.ts';
import type { Server } from './options.ts';
import { resetConnection, TlsConnector } from './tls-connector.ts';

export type Client = Redis | Cluster;
/** watch: WATCH and its EXEC, because every EXEC of another write on the same connection would end the watch. */
export type Use = 'main' | 'watch' | 'control';

/** `answer`: of the server, or a timeout. `ended`: nothing of it can come any more. Never rejects. */
export interface Sent {
  answer: Promise<unknown>;
  ended: Promise<void>;
}

/**
 * The application's own are off: they let go of a command whose bytes may still arrive, or close where only a reset ends
 * what is on its way. `timed` is the one bound on a write.
 */
const NO_OTHER_BOUND = { commandTimeout: undefined, socketTimeout: undefined } as const;

/**
 * Without these, a client sends what the application was already told had failed: from a queue after a reconnect, again
 * after a lost connection, or after the lease of the phase has run out.
 */
const STRICT = {
  ...NO_OTHER_BOUND,
  enableOfflineQueue: false,
  autoResendUnfulfilledCommands: false,
  maxRetriesPerRequest: 0,
  enableAutoPipelining: false,
  lazyConnect: true,
  keyPrefix: '',
  readOnly: false,
  retryStrategy: (times: number) => Math.min(50 * times, 1_000),
  reconnectOnError: (error: Error) => error.message.startsWith('READONLY'),
} as const;

export class Link {
  readonly side: DualSide;
  readonly isCluster: boolean;
  /** Why this server can't be used; set after the first connection. */
  unsupported: string | undefined;
  /** PEXPIRETIME is there (Redis 7 and up, Valkey). */
  exactExpiry = true;
  private readonly server: Server;
  private readonly clientName: string;
  private readonly onChange: () => void;
  private readonly clients = new Map<string, Client>();
  private readonly lastErrors = new Map<string, string>();
  private clock: { serverMs: number; atMs: number } | undefined;
  private closed = false;

  constructor(side: DualSide, server: Server, clientName: string, onChange: () => void) {
    this.side = side;
    this.server = server;
    this.clientName = clientName;
    this.onChange = onChange;
    this.isCluster = 'isCluster' in server && server.isCluster;
  }

  /** Of this database; made and connected when first asked for. Whether it is ready is another question. */
  client(db: number, use: Use = 'main'): Client {
    const name = `${use}:${db}`;
    const known = this.clients.get(name);
    if (known !== undefined) return known;
    const client = this.make(db);
    this.clients.set(name, client);
    client.on('error', (error: Error) => void this.lastErrors.set(name, error.message));
    client.on('ready', () => void this.greet(client));
    client.on('close', this.onChange);
    if (!this.closed) client.connect().catch(() => {}); // it goes on trying; `ready` tells
    return client;
  }

  ready(db: number, use: Use = 'main'): boolean {
    return this.client(db, use).status === 'ready' && this.clock !== undefined;
  }

  /** Resolves when it is ready, or has failed to connect, or this time (ms) is over. */
  async tried(db: number, withinMs: number): Promise<void> {
    const until = performance.now() + withinMs;
    while (!this.ready(db) && !this.lastErrors.has(`main:${db}`) && performance.now() < until) await delay(10);
  }

  /** For people: why it is not ready. */
  trouble(db: number, use: Use = 'main'): string {
    const name = `${use}:${db}`;
    return `${this.side} is ${this.client(db, use).status}${this.lastErrors.has(name) ? ` (${this.lastErrors.get(name)})` : ''}`;
  }

  /** The server's clock, ms: at most a round trip late, never early. 0 before the first connection. */
  nowMs(): number {
    return this.clock === undefined ? 0 : Math.ceil(this.clock.serverMs + performance.now() - this.clock.atMs);
  }

  /** `atMs`: performance.now() when the question was sent. */
  heardTime(time: unknown, atMs: number): number {
    const [seconds, micros] = time as [string, string];
    const serverMs = Number(seconds) * 1000 + Number(micros) / 1000;
    this.clock = { serverMs, atMs };
    return serverMs;
  }

  /** Reads the clock again. Throws nothing: the old reading goes on. */
  async refreshClock(): Promise<void> {
    const client = this.client(0);
    if (client.status === 'ready') await this.readClock(client).catch(() => {});
  }

  /** Sends at once, or fails at once where there is no connection. */
  send(what: Call, encoding: 'utf8' | null, db: number, timeoutMs: number, use: Use = 'main'): Sent {
    const client = this.client(db, use);
    const command = toCommand(what, encoding);
    const work = client.sendCommand(command) as Promise<unknown>;
    return this.timed(what.name, work, timeoutMs, client, () => [command]);
  }

  /** Bounded by the application's own commandTimeout alone: a read that is answered late does no harm. */
  read(what: Call, encoding: 'utf8' | null, db: number): Promise<unknown> {
    const command = toCommand(what, encoding);
    const withinMs = commandTimeoutOf(this.server);
    if (typeof withinMs === 'number') command.setTimeout(withinMs);
    return this.client(db).sendCommand(command) as Promise<unknown>;
  }

  /** MULTI … EXEC. The answer is as of ioredis: [error, value][], or null where a watched key had changed. */
  transaction(
    calls: readonly (Call & { encoding?: 'utf8' | null })[],
    db: number,
    timeoutMs: number,
    use: Use = 'main',
  ): Sent {
    const client = this.client(db, use);
    const multi = client.multi() as unknown as {
      sendCommand(command: unknown): void;
      exec(): Promise<unknown>;
      _queue: readonly unknown[];
    };
    for (const one of calls) multi.sendCommand(toCommand(one, one.encoding ?? null));
    const exec = multi.exec().catch((error: unknown) => {
      throw firstCause(error);
    });
    // oxlint-disable-next-line eslint/no-underscore-dangle -- MULTI and EXEC are nowhere else; a cluster's retry makes it anew
    return this.timed('multi', exec, timeoutMs, client, () => multi._queue);
  }

  close(): void {
    this.closed = true;
    for (const client of this.clients.values()) client.disconnect();
  }

  private timed(
    name: string,
    work: Promise<unknown>,
    timeoutMs: number,
    client: Client,
    commands: () => readonly unknown[],
  ): Sent {
    const settled = work.then(
      () => {},
      (error: unknown) => {
        if (!isReplyError(error) && isOnItsWay(client, commands())) cut(client);
      },
    );
    let timer: NodeJS.Timeout | undefined;
    let late: Promise<void> | undefined;
    const timeout = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => {
        // First, or the answer would be how the connection ended.
        reject(timedOut(name, this.side, timeoutMs));
        cut(client);
        // The cut ends it; a cluster's client may be about to send it again, for a moment.
        late = Promise.race([settled, delay(timeoutMs, undefined, { ref: false })]);
      }, timeoutMs);
    });
    void settled.then(() => clearTimeout(timer));
    const answer = Promise.race([work, timeout]);
    const ended = answer.then(
      () => {},
      () => late ?? settled,
    );
    return { answer, ended };
  }

  private make(db: number): Client {
    const { server } = this;
    const options = { ...STRICT, connectionName: this.clientName };
    if ('isCluster' in server && server.isCluster) {
      return (server as Cluster).duplicate([], {
        enableOfflineQueue: false,
        enableAutoPipelining: false,
        lazyConnect: true,
        keyPrefix: '',
        scaleReads: 'master',
        retryDelayOnFailover: 0, // more than 0 sends a write again whose connection was lost
        clusterRetryStrategy: STRICT.retryStrategy,
        redisOptions: {
          connectionName: this.clientName,
          maxRetriesPerRequest: 0,
          ...NO_OTHER_BOUND,
          ...connectorFor((server as Cluster).options.redisOptions ?? {}),
        },
      });
    }
    if ('duplicate' in server && typeof server.duplicate === 'function')
      return (server as Redis).duplicate({ ...options, ...connectorFor((server as Redis).options), db });
    return new Redis({ ...(server as object), ...options, ...connectorFor(server as RedisOptions), db });
  }

  private async greet(client: Client): Promise<void> {
    try {
      await this.readClock(client);
      const info = await client.info('server').catch(() => '');
      const version = /redis_version:(\d+)\.(\d+)/.exec(info);
      if (version !== null) {
        const number = Number(version[1]) * 100 + Number(version[2]);
        this.exactExpiry = number >= 700;
        this.unsupported =
          number < 602
            ? `the ${this.side} runs ${version[1]}.${version[2]}; DualWriteRedis needs 6.2 or newer (SET … PXAT)`
            : undefined;
      }
    } catch {
      // The connection went away again, or TIME is not permitted: then it never gets ready, and trouble() says so.
      this.lastErrors.set('time', 'TIME was not answered');
    }
    this.onChange();
  }

  private async readClock(client: Client): Promise<void> {
    const atMs = performance.now();
    this.heardTime(await client.sendCommand(toCommand(call('time'), 'utf8')), atMs);
  }
}

/** Ours for TLS, unless the application has one of its own, or finds its server by sentinels. */
const connectorFor = ({ tls, sentinels, Connector }: RedisOptions): Pick<RedisOptions, 'Connector'> =>
  tls && !sentinels && !Connector ? { Connector: TlsConnector } : {};

function commandTimeoutOf(server: Server): number | undefined {
  const options = 'duplicate' in server ? server.options : server;
  return 'redisOptions' in options ? options.redisOptions?.commandTimeout : (options as RedisOptions).commandTimeout;
}

/** What ioredis keeps of a connection, and does not tell by its types. */
interface Connection {
  stream?: Socket;
  commandQueue?: CommandQueue;
  offlineQueue?: CommandQueue;
}
type CommandQueue = { toArray(): { command: unknown }[] };

const connectionsOf = (client: Client): Connection[] =>
  ('nodes' in client ? client.nodes('all') : [client]) as unknown as Connection[];

/**
 * Is an answer to one of them still to come, or will it yet be sent? A command that the client gave up by a bound that got
 * past ours (of the class, or of one node of a cluster) stays in its queue.
 */
function isOnItsWay(client: Client, commands: readonly unknown[]): boolean {
  const given = new Set(commands);
  return connectionsOf(client)
    .flatMap(({ commandQueue, offlineQueue }) => [commandQueue, offlineQueue])
    .some((queue) => queue?.toArray().some(({ command }) => given.has(command)) === true);
}

/** By RST: what is still in our buffer must not arrive once the network heals. */
function cut(client: Client): void {
  for (const { stream } of connectionsOf(client)) resetConnection(stream);
}

/** EXECABORT alone does not say which command was refused, or why. */
function firstCause(error: unknown): unknown {
  const previous = (error as { previousErrors?: unknown[] } | null)?.previousErrors;
  return previous?.[0] ?? error;
}
