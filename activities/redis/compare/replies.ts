/**
 * Commands with binary-safe replies. The one place where a reply gets its type: Redis says what each command answers,
 * TypeScript can't know it.
 */
import type { Redis } from 'ioredis';

export type Command = [name: string, ...args: (Buffer | string | number)[]];

/** One command; strings in its reply are Buffers. @throws ReplyError */
export async function ask<T>(redis: Redis, ...[name, ...args]: Command): Promise<T> {
  const reply: unknown = await redis.callBuffer(name, args);
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the caller knows the command
  return reply as T;
}

/**
 * Sends the commands in one go and gives their replies in order.
 * @param tolerated errors that give null in their reply's place
 * @throws the first other ReplyError among them
 */
export async function askAll<T>(redis: Redis, commands: Command[], tolerated?: RegExp): Promise<T[]> {
  if (commands.length === 0) return [];
  const pipeline = redis.pipeline();
  for (const [name, ...args] of commands) pipeline.callBuffer(name, args);
  const replies = (await pipeline.exec()) ?? [];
  const values = replies.map(([error, reply]) => {
    if (error && tolerated?.test(error.message)) return null;
    if (error) throw error;
    return reply;
  });
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the caller knows the commands
  return values as T[];
}

/** [a, b, c, d] as [[a, b], [c, d]]. */
export function asPairs<T>(flat: readonly T[]): [T, T][] {
  const pairs: [T, T][] = [];
  for (let i = 0; i + 1 < flat.length; i += 2) {
    const [a, b] = flat.slice(i, i + 2);
    if (a !== undefined && b !== undefined) pairs.push([a, b]);
  }
  return pairs;
}
