/** The canary: a key written, read and deleted on the new primary, before any application is sent there. */
import type { Redis } from 'ioredis';
import { ErrorType } from '../../spec/errors.ts';
import { permanent } from '../errors.ts';
import { FENCE_KEY } from './fence-record.ts';

const CANARY_SECONDS = 60;

/**
 * Also deletes the fence's record on the target, which was replicated there with everything else: the fence is the old
 * source's alone.
 * @throws cutover.Invalid where the target does not do as told
 */
export async function sendCanary(target: Redis, migration: string): Promise<void> {
  const key = `cutover:canary:${migration}`;
  const value = `${Date.now()}`;
  const answers = await target.multi().set(key, value, 'EX', CANARY_SECONDS).get(key).del(key).del(FENCE_KEY).exec();
  const failed = answers?.find(([error]) => error);
  if (failed?.[0]) throw permanent(ErrorType.invalid, `the target, promoted, refused the canary: ${failed[0].message}`);
  if (answers?.[1]?.[1] !== value) {
    throw permanent(ErrorType.invalid, 'the target, promoted, did not give back what the canary wrote');
  }
}
