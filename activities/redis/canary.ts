/** The canary: a key written, read and deleted on the new primary, before any application is sent there. */
import type { Redis } from 'ioredis';
import { ErrorType } from '../../spec/errors.ts';
import { permanent } from '../errors.ts';
import { holdsRecord } from './cluster-record.ts';
import { FENCE_KEY } from './fence-record.ts';
import { keyOn, nameOf, nodeFailure, type Primaries } from './primaries.ts';

const CANARY_SECONDS = 60;

/**
 * Also deletes the fence's record on the target, which was replicated there with everything else: the fence is the old
 * source's alone.
 * @throws cutover.Invalid where the target does not do as told
 */
export async function sendCanary(target: Redis, migration: string): Promise<void> {
  await send(target, `cutover:canary:${migration}`, 'the target, promoted,', [FENCE_KEY]);
}

/**
 * The same to every primary of a target that may be a cluster: each writes, reads and deletes a key in a slot of its own.
 * @throws cutover.Invalid where one of them does not do as told; cutover.Busy where it is no primary any more
 */
export async function sendCanaries(primaries: Primaries, migration: string): Promise<void> {
  await Promise.all(
    primaries.nodes.map(async (node) => {
      if (!primaries.cluster) return sendCanary(node.redis, migration);
      const key = keyOn(`cutover:canary:${migration}`, primaries, node);
      await send(node.redis, key, `${nameOf(node)}, of the target,`, []);
      // By itself: the keys of a transaction must have one slot.
      if (!holdsRecord(node)) return;
      await node.redis.del(FENCE_KEY).catch((error: unknown) => {
        throw nodeFailure(error, node);
      });
    }),
  );
}

async function send(target: Redis, key: string, who: string, alsoDelete: string[]): Promise<void> {
  const value = `${Date.now()}`;
  const multi = target.multi().set(key, value, 'EX', CANARY_SECONDS).get(key).del(key);
  for (const other of alsoDelete) multi.del(other);
  const answers = await multi.exec();
  const failed = answers?.find(([error]) => error);
  if (failed?.[0]) throw permanent(ErrorType.invalid, `${who} refused the canary: ${failed[0].message}`);
  if (answers?.[1]?.[1] !== value) {
    throw permanent(ErrorType.invalid, `${who} did not give back what the canary wrote`);
  }
}
