/** What stopped a dual write's activity, as a failure of ours. */
import { ErrorType } from '../../../spec/errors.ts';
import { transient } from '../../errors.ts';
import { redisFailure } from '../connect.ts';
import { copyFailure } from '../copy/copy-activity.ts';
import { CopyError } from '../copy/types.ts';

const MOVED = /^(MOVED|ASK|TRYAGAIN|CLUSTERDOWN) ?/;

/**
 * As `copyFailure`. Besides, what a node of a cluster answers while slots change hands is no end: the next attempt asks
 * anew who has them.
 */
export function dualFailure(error: unknown, where = 'source or target'): Error {
  if (error instanceof Error && error.name === 'ReplyError' && MOVED.test(error.message)) {
    return transient(
      ErrorType.busy,
      `slots of the cluster (${where}) are on their way to another node: ${error.message}`,
      {
        afterMs: 1_000,
        remedy: 'let the resharding end, or redis-cli --cluster fix',
      },
    );
  }
  return error instanceof CopyError ? copyFailure(error) : redisFailure(error, where);
}
