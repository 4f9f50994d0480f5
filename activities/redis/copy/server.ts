/** One Redis process of a side: its connections, a database each, and what it can do. */
import type { Redis } from 'ioredis';
import { abilitiesOf } from '../compare/abilities.ts';
import type { Abilities } from '../compare/abilities.ts';
import { Reader } from '../compare/reader.ts';
import { ask } from '../compare/replies.ts';
import { parseInfo } from '../replication.ts';
import { endEarlierCopiers } from './obstacles.ts';
import { DirtySlots, rangesText } from './slots.ts';
import type { SlotRange } from './slots.ts';
import { refuseOpenSlots } from './topology.ts';
import type { Primary } from './topology.ts';
import { CopyError } from './types.ts';
import type { CopySide } from './types.ts';

export interface ServerContext {
  side: 'source' | 'target';
  ends: CopySide;
  cluster: boolean;
  /** Told of a connection that closed by itself. */
  fail: (error: unknown) => void;
  note: (text: string) => void;
  signal: AbortSignal;
}

export class Server {
  readonly id: string;
  readonly name: string;
  readonly slots: readonly SlotRange[];
  readonly runId: string;
  readonly version: string;
  readonly abilities: Abilities;
  /** Digests of keys, as the compare reads them. */
  readonly reader: Reader;
  /** Of a source: what must be reconciled. */
  readonly dirty = new DirtySlots();
  readonly #primary: Primary;
  readonly #context: ServerContext;
  readonly #databases = new Map<number, Promise<Redis>>();

  private constructor(
    primary: Primary,
    context: ServerContext,
    known: { runId: string; version: string; abilities: Abilities },
  ) {
    this.#primary = primary;
    this.#context = context;
    this.id = primary.id;
    this.name = `${primary.at.host}:${primary.at.port}`;
    this.slots = primary.slots;
    this.runId = known.runId;
    this.version = known.version;
    this.abilities = known.abilities;
    // Notes of the compare's reader speak of the compare; here slower reading is no news.
    this.reader = new Reader(context.side, known.abilities, 1, () => {});
  }

  /** @throws what connecting throws; CopyError OBSTACLE where it is a replica or its slots are moving */
  static async open(primary: Primary, context: ServerContext): Promise<Server> {
    const first = await context.ends.connect(primary.at);
    try {
      await endEarlierCopiers(first, context.note);
      const info = parseInfo(await first.info());
      await refuseUnsteady(first, context, primary);
      const abilities = await abilitiesOf(context.cluster ? answeringMoved(first) : first);
      const server = new Server(primary, context, {
        runId: info['run_id'] ?? '',
        version: info['redis_version'] ?? '',
        // A script is given all its keys at once, and in a cluster they lie in many slots.
        abilities: context.cluster ? { ...abilities, eval: undefined } : abilities,
      });
      server.#watch(first);
      server.#databases.set(0, Promise.resolve(first));
      return server;
    } catch (error) {
      first.disconnect();
      throw error;
    }
  }

  /** It is a primary still, and none of its slots is moving. @throws CopyError OBSTACLE */
  async checkStill(): Promise<void> {
    await refuseUnsteady(await this.db(0), this.#context, this.#primary);
  }

  get slotsText(): string {
    return rangesText(this.slots);
  }

  get side(): 'source' | 'target' {
    return this.#context.side;
  }

  /** The connection to a database. @throws CopyError DATABASE_MISSING */
  db(number: number): Promise<Redis> {
    const known = this.#databases.get(number);
    if (known) return known;
    const opening = this.#open(number);
    this.#databases.set(number, opening);
    // Whoever awaits it hears of it; nobody may have to.
    opening.catch(() => {});
    return opening;
  }

  /**
   * A connection of its own, that nobody else waits behind; the caller ends it.
   * @throws CopyError DATABASE_MISSING; the signal's reason, where the caller has ended what it had by now
   */
  async aside(number = 0): Promise<Redis> {
    const { ends, signal } = this.#context;
    const redis = await ends.connect(this.#primary.at);
    if (signal.aborted) {
      redis.disconnect();
      throw signal.reason;
    }
    // Not by ioredis' option `db`: where that is refused, it goes on in database 0.
    try {
      if (number !== 0) await redis.select(number);
    } catch (error) {
      redis.disconnect();
      if (!(error instanceof Error) || error.name !== 'ReplyError') throw error;
      throw new CopyError(
        'DATABASE_MISSING',
        `copy: the ${this.side} ${this.name} has no database ${number} (${error.message}), the other side has keys in it`,
        {
          remedy:
            'raise `databases` on that server (on ElastiCache in its parameter group; cluster mode has one), or leave the database out',
        },
      );
    }
    return redis;
  }

  /** Numbers of the databases that hold keys, with their keys. */
  async databases(): Promise<Map<number, number>> {
    const redis = await this.db(0);
    const found = new Map<number, number>();
    for (const [field, value] of Object.entries(parseInfo(await redis.info('keyspace')))) {
      if (/^db\d+$/.test(field)) found.set(Number(field.slice(2)), Number(/keys=(\d+)/.exec(value)?.[1] ?? 0));
    }
    return found;
  }

  close(): void {
    for (const opening of this.#databases.values()) opening.then((redis) => redis.disconnect()).catch(() => {});
  }

  async #open(number: number): Promise<Redis> {
    const redis = await this.aside(number);
    if (this.#context.signal.aborted) redis.disconnect();
    this.#watch(redis);
    return redis;
  }

  #watch(redis: Redis): void {
    redis.on('close', () => {
      if (this.#context.signal.aborted) return;
      this.#context.fail(
        new CopyError('CONNECTION_LOST', `copy: the connection to the ${this.side} ${this.name} was lost`, {
          retryable: true,
          remedy: 'is it up? The copy goes on from its last checkpoint',
        }),
      );
    });
  }
}

/** @throws CopyError OBSTACLE where it is a replica, or its slots are moving: keys would be missed, or old */
async function refuseUnsteady(redis: Redis, { cluster, side }: ServerContext, { at }: Primary): Promise<void> {
  const { role } = parseInfo(await redis.info('replication'));
  if (role !== 'master') {
    throw new CopyError('OBSTACLE', `copy: ${at.host}:${at.port} (${side}) is a replica, not a primary`, {
      retryable: true,
      remedy: 'name the primary',
    });
  }
  if (cluster) refuseOpenSlots((await ask<Buffer>(redis, 'CLUSTER', 'NODES')).toString(), side);
}

/** The abilities are tried on one key, which another node of the cluster may hold: MOVED means that the command is known. */
function answeringMoved(redis: Redis): Redis {
  return new Proxy(redis, {
    get(target, name, receiver) {
      if (name !== 'callBuffer') return Reflect.get(target, name, receiver) as unknown;
      return async (command: string, args: (string | number)[]) => {
        try {
          return await target.callBuffer(command, args);
        } catch (error) {
          if (error instanceof Error && /^(MOVED|ASK) /.test(error.message)) return null;
          throw error;
        }
      };
    },
  });
}
