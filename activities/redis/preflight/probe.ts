/**
 * One connection per server for all checks of a preflight. What two checks ask is asked once: thirty checks must not be
 * a load on a production server.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import type { RedisEndpoint } from '../../../spec/values.ts';
import { connectRedis } from '../connect.ts';
import { parseInfo } from '../replication.ts';
import { CannotCheck } from '../../preflight/check.ts';
import { versionFromInfo, type EngineVersion } from './versions.ts';

export type Info = Readonly<Record<string, string>>;

export interface RedisProbe {
  readonly side: 'source' | 'target';
  readonly endpoint: RedisEndpoint;
  /** `host:port`. */
  readonly where: string;
  /** @throws as connectRedis does. The check of reachability alone asks this; the others use what follows. */
  connection(): Promise<Redis>;
  /** The command's answer, asked once. @throws CannotCheck where it is blocked, or the server can't be reached. */
  call(command: string, ...args: string[]): Promise<unknown>;
  /** The same, asked anew. @throws CannotCheck */
  callAgain(command: string, ...args: string[]): Promise<unknown>;
  /** INFO's default sections. @throws CannotCheck */
  info(): Promise<Info>;
  /** CONFIG GET; undefined where this server has no such setting. @throws CannotCheck where CONFIG is blocked */
  setting(name: string): Promise<string | undefined>;
  version(): Promise<EngineVersion>;
  writeRate(): Promise<WriteRate>;
  close(): void;
}

export interface WriteRate {
  bytesPerSecond: number;
  /** False where no replication backlog exists yet: then all that clients send is counted, reads as well. */
  exact: boolean;
}

const RATE_WINDOW_MS = 1_000;

/** Connects at the first question. @param name is shown in the server's CLIENT LIST. */
export function redisProbe(side: 'source' | 'target', endpoint: RedisEndpoint, name: string): RedisProbe {
  const where = `${endpoint.host}:${endpoint.port}`;
  let connected: Promise<Redis> | undefined;
  const connection = () => (connected ??= connectRedis(endpoint, { name }));

  const ask = async (command: string, args: string[]): Promise<unknown> => {
    const redis = await connection().catch(() => {
      throw new CannotCheck(`the ${side} ${where} can't be asked (see ${side === 'source' ? 'S0' : 'T0'})`);
    });
    try {
      return await redis.call(command, ...args);
    } catch (error) {
      const said = error instanceof Error ? error.message : String(error);
      throw new CannotCheck(`${[command, args[0]].filter(Boolean).join(' ')} on ${where}: ${said}`);
    }
  };
  const answers = new Map<string, Promise<unknown>>();
  const call = (command: string, ...args: string[]) => {
    const key = [command, ...args].join('\0');
    const answer = answers.get(key) ?? ask(command, args);
    answers.set(key, answer);
    return answer;
  };
  const freshInfo = async () => parseInfo(String(await ask('INFO', [])));
  let known: Promise<Info> | undefined;
  let rate: Promise<WriteRate> | undefined;
  const info = () => (known ??= freshInfo());

  return {
    side,
    endpoint,
    where,
    connection,
    call,
    callAgain: (command, ...args) => ask(command, args),
    info,
    setting: async (name) => {
      const answer = listOf(await call('CONFIG', 'GET', name)).map(String);
      const at = answer.findIndex((item, i) => i % 2 === 0 && item === name);
      return at === -1 ? undefined : (answer[at + 1] ?? '');
    },
    version: async () => versionFromInfo(await info()),
    writeRate: () => (rate ??= measureRate(freshInfo)),
    close: () => {
      connected?.then(
        (redis) => redis.disconnect(),
        () => {},
      );
    },
  };
}

/**
 * What the source writes, in bytes of replication stream per second, over about a second (facts/redis-aws 4.1 S10).
 * Without a replica or backlog the offset stands still whatever is written; then the clients' input is what is known.
 */
async function measureRate(freshInfo: () => Promise<Info>): Promise<WriteRate> {
  const from = await freshInfo();
  const began = performance.now();
  await delay(RATE_WINDOW_MS);
  const to = await freshInfo();
  const seconds = (performance.now() - began) / 1000;
  const exact = from['repl_backlog_active'] === '1' && to['repl_backlog_active'] === '1';
  const field = exact ? 'master_repl_offset' : 'total_net_input_bytes';
  const delta = Number(to[field]) - Number(from[field]);
  if (Number.isNaN(delta)) throw new CannotCheck(`INFO has no ${field}, so the write rate can't be measured`);
  return { bytesPerSecond: Math.max(0, delta / seconds), exact };
}

/** An answer that has to be a list. @throws CannotCheck */
export function listOf(answer: unknown): unknown[] {
  if (!Array.isArray(answer)) throw new CannotCheck(`the server's answer is no list: ${String(answer)}`);
  return answer;
}

/** A field of INFO as a number. @throws CannotCheck where this server's INFO doesn't have it */
export function infoNumber(info: Info, field: string): number {
  const value = Number(info[field] ?? Number.NaN);
  if (Number.isNaN(value)) throw new CannotCheck(`INFO has no ${field}`);
  return value;
}

/** Keys by database from INFO keyspace, empty ones left out. */
export function keysByDatabase(info: Info): Map<number, number> {
  const found = new Map<number, number>();
  for (const [field, value] of Object.entries(info)) {
    const db = /^db(\d+)$/.exec(field)?.[1];
    const keys = /^keys=(\d+)/.exec(value)?.[1];
    if (db !== undefined && keys !== undefined && keys !== '0') found.set(Number(db), Number(keys));
  }
  return found;
}
