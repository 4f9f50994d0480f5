/**
 * What the application writes: a mix of commands, each with a value of its own, so that every single acknowledged write
 * can be looked for afterwards. A client's write number `seq` is always the same command on the same keys.
 */
import type { Redis } from 'ioredis';

export type WriteKind = 'set' | 'incr' | 'hset' | 'lpush' | 'xadd' | 'multi' | 'eval';

// prettier-ignore
const MIX: readonly WriteKind[] = [
  'set', 'incr', 'hset', 'set', 'lpush', 'multi', 'set', 'xadd', 'hset', 'incr',
  'set', 'eval', 'lpush', 'set', 'hset', 'xadd', 'set', 'incr', 'multi', 'set',
];

/** Writes per hash, list and stream. So each is hot for some seconds, and then at rest. */
export const BLOCK = 2_000;

export function kindOf(seq: number): WriteKind {
  return MIX[seq % MIX.length]!;
}

/** The names of one client's keys. `run` keeps two runs on one server apart. */
export class ClientKeys {
  readonly #prefix: string;
  readonly client: number;

  constructor(run: string, client: number) {
    this.#prefix = `app:${run}:${client}`;
    this.client = client;
  }

  value(seq: number): string {
    return `${this.#prefix}:${seq}`;
  }
  hash(seq: number): string {
    return `${this.#prefix}:hash:${Math.floor(seq / BLOCK)}`;
  }
  list(seq: number): string {
    return `${this.#prefix}:list:${Math.floor(seq / BLOCK)}`;
  }
  stream(seq: number): string {
    return `${this.#prefix}:stream:${Math.floor(seq / BLOCK)}`;
  }
  get counter(): string {
    return `${this.#prefix}:counter`;
  }
  get transactions(): string {
    return `${this.#prefix}:transactions`;
  }
  /** What is written under the value key, and into the hash. */
  content(seq: number): string {
    return `${this.client}/${seq}`;
  }
}

const SCRIPT = "redis.call('SET', KEYS[1], ARGV[1]) redis.call('HSET', KEYS[2], ARGV[2], ARGV[1]) return 1";

/** The server's answer was an error inside of a transaction that ran: what of it was applied is not known. */
export class TornTransaction extends Error {
  override readonly name = 'TornTransaction';
}

/**
 * Sends one write.
 * @returns the counter's new value for INCR, else 0
 * @throws ReplyError where the server refused it; TornTransaction; any other error means that no answer came
 */
export async function sendWrite(redis: Redis, keys: ClientKeys, seq: number): Promise<number> {
  const content = keys.content(seq);
  const kind = kindOf(seq);
  if (kind === 'incr') return redis.incr(keys.counter);
  if (kind === 'set') await redis.set(keys.value(seq), content);
  else if (kind === 'hset') await redis.hset(keys.hash(seq), String(seq), content);
  else if (kind === 'lpush') await redis.lpush(keys.list(seq), String(seq));
  else if (kind === 'xadd') await redis.xadd(keys.stream(seq), '*', 'seq', String(seq));
  else if (kind === 'eval') await redis.eval(SCRIPT, 2, keys.value(seq), keys.hash(seq), content, String(seq));
  else await transaction(redis, keys, seq, content);
  return 0;
}

async function transaction(redis: Redis, keys: ClientKeys, seq: number, content: string): Promise<void> {
  const answers = await redis.multi().set(keys.value(seq), content).incr(keys.transactions).exec();
  const failed = answers === null ? new Error('EXEC gave nothing') : answers.find(([error]) => error)?.[0];
  if (failed) throw new TornTransaction(failed.message);
}
