/**
 * The remedy of the endless full resync: where writes come faster than the first copy is sent, the source cuts the
 * replica's connection at client-output-buffer-limit and the copy begins again, for ever (facts/redis-aws 4.3).
 */
import { ErrorType } from '../../spec/errors.ts';
import type { RedisEndpoint } from '../../spec/values.ts';
import { permanent } from '../errors.ts';
import { withRedis } from './connect.ts';
import { parseInfo } from './replication.ts';

export interface BufferLimit {
  /** As CONFIG GET gave it: `normal 0 0 0 slave 268435456 67108864 60 pubsub …`. */
  old: string;
}

/** Reads the setting, to be journaled before it is changed. */
export async function readBufferLimit(input: { migrationId: string; source: RedisEndpoint }): Promise<BufferLimit> {
  return withRedis(input.source, { name: `cutover:${input.migrationId}` }, async (source) => {
    const answer = (await source.config('GET', 'client-output-buffer-limit')) as string[] | Record<string, string>;
    const old = Array.isArray(answer) ? answer[1] : answer['client-output-buffer-limit'];
    if (!old) throw permanent(ErrorType.denied, 'client-output-buffer-limit can’t be read on the source');
    return { old };
  });
}

/**
 * Takes the limit off for replicas, where memory allows: the buffer may then grow by all that is written during the copy.
 * @throws cutover.Invalid where less memory is free than the data takes
 */
export async function liftBufferLimit(input: {
  migrationId: string;
  source: RedisEndpoint;
}): Promise<{ note: string }> {
  return withRedis(input.source, { name: `cutover:${input.migrationId}` }, async (source) => {
    const memory = parseInfo(await source.info('memory'));
    const ceiling = Number(memory['maxmemory']) || Number(memory['total_system_memory']);
    const free = ceiling - Number(memory['used_memory']);
    if (free < Number(memory['used_memory'])) {
      throw permanent(
        ErrorType.invalid,
        `lifting the replica's buffer limit needs memory: ${free} bytes are free of ${ceiling}`,
        {
          remedy: 'slow the writers down during the first copy, or give the source more memory',
        },
      );
    }
    // `slave` is understood by every version, `replica` only from 5.0.
    await source.config('SET', 'client-output-buffer-limit', 'slave 0 0 0');
    return { note: 'client-output-buffer-limit for replicas lifted' };
  });
}

/** Puts the old limit back. Runs as often as it likes. */
export async function restoreBufferLimit(input: {
  migrationId: string;
  source: RedisEndpoint;
  limit: BufferLimit;
}): Promise<{ note: string }> {
  return withRedis(input.source, { name: `cutover:${input.migrationId}` }, async (source) => {
    await source.config('SET', 'client-output-buffer-limit', input.limit.old);
    return { note: `client-output-buffer-limit is ${input.limit.old} again` };
  });
}
