/**
 * Copies one large key in pages: into a temporary key beside it, which takes its name at the end. Neither server ever
 * holds it as one string (DUMP), nor do we. A key that moves meanwhile is torn, but then it was touched, and is copied again.
 */
import type { Redis } from 'ioredis';
import { createHash } from 'node:crypto';
import { printable } from '../compare/key-names.ts';
import { LENGTH_COMMANDS } from '../compare/length-commands.ts';
import { ask, askAll, asPairs } from '../compare/replies.ts';
import type { Command } from '../compare/replies.ts';
import { expiryOf } from './read-keys.ts';
import type { Sized } from './read-keys.ts';
import { rebuildStream } from './rebuild-stream.ts';
import type { Server } from './server.ts';
import { slotOf, tagOf } from './slots.ts';
import { refused } from './target.ts';
import { CopyError } from './types.ts';

const PAGE_BYTES = 262_144;
const MOST_MEMBERS = 2000;
/** A temporary key that nobody goes on with removes itself. Renewed with every page. */
const TEMPORARY_MS = 600_000;

export interface RebuildContext {
  migrationId: string;
  source: { server: Server; redis: Redis };
  target: { server: Server; redis: Redis };
  keep: boolean;
  /** What may be read per second is asked for before each page. */
  paced: (bytes: number) => Promise<void>;
}

/** What a page reader is given. */
export interface Pages {
  source: Redis;
  target: Redis;
  key: Buffer;
  temporary: Buffer;
  /** Members per page, so that a page is some 256 KB. */
  members: number;
  sourceServer: Server;
  targetServer: Server;
  /** Writes to the temporary key, and keeps it alive. */
  write: (commands: Command[]) => Promise<void>;
}

/** @returns `gone`: it is no more, or of another type by now; `kept`: the target has it, and keeps its own */
export async function rebuild(
  context: RebuildContext,
  { key, type, bytes }: Sized,
): Promise<'rebuilt' | 'gone' | 'kept'> {
  const { source, target } = context;
  const lengthCommand = LENGTH_COMMANDS[type];
  const pageThrough = PAGES[type];
  if (!lengthCommand || !pageThrough) {
    throw new CopyError(
      'WRITE_REFUSED',
      `copy: key ${printable(key)} is a ${type} of ${bytes} bytes, which can't be copied in pages`,
      { remedy: 'raise bigKeyBytes above its size, or leave it out with `ignore`' },
    );
  }
  const length = await tolerant(ask<number>(source.redis, lengthCommand, key));
  if (length === undefined) return 'gone';
  const each = Math.max(1, bytes / Math.max(1, length));
  const members = Math.max(1, Math.min(MOST_MEMBERS, Math.floor(PAGE_BYTES / each)));
  const name = createHash('sha1').update(context.migrationId).update(key).digest('hex').slice(0, 20);
  const temporary = Buffer.from(`cutover:copy:${name}:{${tagOf(slotOf(key))}}`);
  const write = async (commands: Command[]) => {
    await context.paced(type === 'string' ? PAGE_BYTES : each * members);
    await askAll(target.redis, [...commands, ['PEXPIRE', temporary, TEMPORARY_MS]]);
  };
  try {
    // What an earlier attempt may have left.
    await ask(target.redis, 'UNLINK', temporary);
    const whole = await tolerant(
      pageThrough({
        source: source.redis,
        target: target.redis,
        key,
        temporary,
        members,
        sourceServer: source.server,
        targetServer: target.server,
        write,
      }).then(() => true),
    );
    if (!whole) {
      await ask(target.redis, 'UNLINK', temporary);
      return 'gone';
    }
    return await rename(context, key, temporary);
  } catch (error) {
    throw error instanceof Error ? refused(target.server, key, error) : error;
  }
}

/** Gives the temporary key its expiry and its name, in one. */
async function rename(context: RebuildContext, key: Buffer, temporary: Buffer): Promise<'rebuilt' | 'gone' | 'kept'> {
  const { source, target, keep } = context;
  const expireAt = await expiryOf(source.server, source.redis, key);
  if (expireAt === undefined) {
    await ask(target.redis, 'UNLINK', temporary);
    return 'gone';
  }
  const multi = target.redis.multi();
  // Without it, a crash in between would leave a temporary key for ever.
  if (expireAt === 0) multi.persist(temporary);
  else multi.pexpireat(temporary, expireAt);
  if (keep) multi.renamenx(temporary, key);
  else multi.rename(temporary, key);
  const [, renamed] = (await multi.exec()) ?? [];
  const [error, reply] = renamed ?? [new Error('no reply'), undefined];
  if (error && /no such key/i.test(error.message)) return 'gone';
  if (error) throw error;
  if (keep && reply === 0) {
    await ask(target.redis, 'UNLINK', temporary);
    return 'kept';
  }
  return 'rebuilt';
}

/** undefined where the key went away or became another type meanwhile. */
async function tolerant<T>(call: Promise<T>): Promise<T | undefined> {
  try {
    return await call;
  } catch (error) {
    if (error instanceof Error && /^(WRONGTYPE|ERR no such key|NOGROUP)/.test(error.message)) return undefined;
    throw error;
  }
}

const PAGES: Record<string, (pages: Pages) => Promise<void>> = {
  string: async ({ source, key, temporary, write }) => {
    for (let from = 0; ; from += PAGE_BYTES) {
      const chunk = await ask<Buffer>(source, 'GETRANGE', key, from, from + PAGE_BYTES - 1);
      // An empty string is a value too.
      if (chunk.length > 0) await write([['SETRANGE', temporary, from, chunk]]);
      else if (from === 0) await write([['SET', temporary, '']]);
      if (chunk.length < PAGE_BYTES) return;
    }
  },
  list: async ({ source, key, temporary, members, write }) => {
    for (let from = 0; ; from += members) {
      const page = await ask<Buffer[]>(source, 'LRANGE', key, from, from + members - 1);
      if (page.length > 0) await write([['RPUSH', temporary, ...page]]);
      if (page.length < members) return;
    }
  },
  set: (pages) => scan(pages, 'SSCAN', (found) => [['SADD', pages.temporary, ...found]]),
  zset: (pages) =>
    scan(pages, 'ZSCAN', (found) => [
      ['ZADD', pages.temporary, ...asPairs(found).flatMap(([member, score]) => [score, member])],
    ]),
  hash: async (pages) => {
    const { source, key, temporary, sourceServer, targetServer } = pages;
    await scan(pages, 'HSCAN', async (found) => {
      const commands: Command[] = [['HSET', temporary, ...found]];
      if (!sourceServer.abilities.fieldExpiry) return commands;
      const fields = asPairs(found).map(([field]) => field);
      const expiries = await ask<number[] | null>(source, 'HPEXPIRETIME', key, 'FIELDS', fields.length, ...fields);
      for (const [i, field] of fields.entries()) {
        const at = expiries?.[i] ?? -1;
        if (at <= 0) continue;
        if (!targetServer.abilities.fieldExpiry) {
          throw new CopyError(
            'WRITE_REFUSED',
            `copy: fields of hash ${printable(key)} expire, which the target ${targetServer.name} can't do`,
            { remedy: 'choose a target that knows HPEXPIRE (Redis 7.4, Valkey 9), or leave the key out' },
          );
        }
        commands.push(['HPEXPIREAT', temporary, at, 'FIELDS', 1, field]);
      }
      return commands;
    });
  },
  stream: rebuildStream,
};

async function scan(
  { source, key, members, write }: Pages,
  command: 'HSCAN' | 'SSCAN' | 'ZSCAN',
  written: (found: Buffer[]) => Command[] | Promise<Command[]>,
): Promise<void> {
  let cursor = '0';
  // One page is read while the one before it is written.
  let writing = Promise.resolve();
  try {
    do {
      const [next, found] = await ask<[Buffer, Buffer[]]>(source, command, key, cursor, 'COUNT', members);
      cursor = next.toString();
      const commands = found.length > 0 ? await written(found) : [];
      await writing;
      if (commands.length === 0) continue;
      writing = write(commands);
      // It is awaited below, whatever comes before.
      writing.catch(() => {});
    } while (cursor !== '0');
  } catch (error) {
    // Whoever deletes the temporary key now must not be overtaken by it.
    await writing.catch(() => {});
    throw error;
  }
  await writing;
}
