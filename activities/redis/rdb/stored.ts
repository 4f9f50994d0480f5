/** An RDB that is in S3 already, read through as a stream: what it is, and that it is whole. */
import { createHash } from 'node:crypto';
import { ErrorType } from '../../../spec/errors.ts';
import type { RdbFacts } from '../../../spec/redis-rdb.ts';
import { awsFailure } from '../../aws/failure.ts';
import { beat } from '../../beat.ts';
import { permanent } from '../../errors.ts';
import { nameOf, type Destination } from '../../s3/multipart-state.ts';
import { open } from '../../s3/objects.ts';
import { RdbCheck } from './check.ts';

/** A stream that gives nothing for so long is dead, ms. */
const STALLED_MS = 60_000;

/**
 * @returns with the SHA-256 of the bytes in hex
 * @throws cutover.Invalid where it is no whole RDB; cutover.NotFound, cutover.Unreachable
 */
export async function readStored(from: Destination): Promise<{ facts: RdbFacts; sha256: string }> {
  const found = await open(from, from.key);
  if (!found) throw permanent(ErrorType.notFound, `${nameOf(from)} is not there`);
  const check = new RdbCheck(nameOf(from));
  const digest = createHash('sha256');
  const timer = setTimeout(() => found.body.destroy(new Error('no data came for a minute')), STALLED_MS);
  try {
    for await (const chunk of found.body) {
      timer.refresh();
      check.push(chunk as Buffer);
      digest.update(chunk as Buffer);
      beat({
        progress: { text: 'the object is read and checked', done: check.bytes, total: found.bytes, unit: 'bytes' },
      });
    }
  } catch (error) {
    throw awsFailure(error, `reading ${nameOf(from)}`);
  } finally {
    clearTimeout(timer);
    found.body.destroy();
  }
  return { facts: check.end(), sha256: digest.digest('hex') };
}
