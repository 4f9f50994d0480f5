/** What a run has put into the bucket, removed: for the undo, and at the end where the file does not keep it. */
import { ApplicationFailure } from '@temporalio/common';
import { abortMultipart, nameOf, openMultiparts } from '../../s3/multipart-state.ts';
import { deleteKeys } from '../../s3/objects.ts';
import { ErrorType } from '../../../spec/errors.ts';
import type { RemoveRdbArgs } from './args.ts';
import { unlink } from './from-machine.ts';
import { destination, ownObject } from './ours.ts';
import { savedPath } from './upload-path.ts';

/**
 * Ends every upload under the run's key, deletes the object where it is the run's, and the file's second name on a
 * machine. Safe to run twice.
 * @returns `removed`: an object was there and is deleted; `left`: in words, what an operator has to remove
 * @throws cutover.Denied, and the passing ones
 */
export async function removeRdb(args: RemoveRdbArgs): Promise<{ left: string[]; removed: boolean }> {
  const left: string[] = [];
  const removed = await removeObject(args, left);
  const { from, saved, ours, attempt = 1 } = args;
  if (from?.type === 'ssm' && (from.path !== undefined || saved?.dir !== undefined)) {
    const path = savedPath(saved, from.path);
    await unlink({ ours, attempt }, from, path).catch((error: unknown) => {
      if (!(error instanceof ApplicationFailure) || error.nonRetryable !== true) throw error;
      // The machine may be gone, and its file with it.
      left.push(
        `on ${from.instance}: .cutover-*.rdb beside ${path}, a second name of the saved file: ${error.message}`,
      );
    });
  }
  return { left, removed };
}

async function removeObject({ to, ours }: RemoveRdbArgs, left: string[]): Promise<boolean> {
  try {
    const at = await destination(to, ours);
    for (const id of await openMultiparts(at)) await abortMultipart(at, id);
    if (!(await ownObject(at, ours))) return false;
    await deleteKeys(at, [at.key]);
    return true;
  } catch (error) {
    if (!(error instanceof ApplicationFailure)) throw error;
    // No bucket, no object.
    if (error.type === ErrorType.notFound) return false;
    if (error.type !== ErrorType.notOurs) throw error;
    left.push(`${nameOf(to)}: ${error.message}`);
    return false;
  }
}
