/** The compare as an activity: goes on from its heartbeat after a crash. */
import { Context } from '@temporalio/activity';
import { Redis } from 'ioredis';
import { ErrorType } from '../../spec/errors.ts';
import type { RedisOnline } from '../../spec/kind-redis-online.ts';
import type { RedisEndpoint } from '../../spec/values.ts';
import { beat, lastBeat } from '../beat.ts';
import { permanent, transient } from '../errors.ts';
import { compare } from './compare/compare.ts';
import { CompareError, type CompareCheckpoint, type CompareProgress, type CompareResult } from './compare/types.ts';
import { redisFailure, redisOptions } from './connect.ts';
import type { Address } from './copy/types.ts';

export interface CompareInput {
  migrationId: string;
  source: RedisEndpoint;
  target: RedisEndpoint;
  compare: RedisOnline['compare'];
}

// A difference is read again after so long, so often: what is still on its way to the target is none.
const REREAD_DELAY_MS = 300;
const REREADS = 10;
const EXAMPLES = 20;
// A page of large keys may take a slow server seconds.
const COMMAND_TIMEOUT_MS = 60_000;

/**
 * Source and target are single servers, or any node of a cluster.
 * @returns what differs, in numbers and without values; a difference is a result, not a failure
 * @throws cutover.Unreachable and cutover.Busy (retried from the last checkpoint), cutover.Denied, cutover.Invalid
 */
export async function compareRedis(input: CompareInput): Promise<CompareResult> {
  const name = `cutover:${input.migrationId}:compare`;
  const optionsOf = (endpoint: RedisEndpoint) => redisOptions(endpoint, { name, timeoutMs: COMMAND_TIMEOUT_MS });
  const [source, target] = await Promise.all([optionsOf(input.source), optionsOf(input.target)]);
  // The nodes of a cluster are reached with the same user and TLS.
  const nodeOf = async (endpoint: RedisEndpoint, at: Address) => new Redis(await optionsOf({ ...endpoint, ...at }));
  const { mode, sampleRatio, values, ttlTolerance, ignore, maxKeysPerSecond } = input.compare;
  const resumeFrom = lastBeat<CompareCheckpoint>()?.checkpoint;
  try {
    return await compare(
      {
        source: (at) => (at ? nodeOf(input.source, at) : new Redis(source)),
        target: (at) => (at ? nodeOf(input.target, at) : new Redis(target)),
      },
      {
        mode: mode === 'sample' ? 'sample' : 'full',
        ...(mode === 'sample' ? { sampleRatio } : {}),
        values,
        ttlToleranceMs: ttlTolerance,
        ignore,
        rereadDelayMs: REREAD_DELAY_MS,
        rereadTimes: REREADS,
        maxReported: EXAMPLES,
        ...(maxKeysPerSecond === undefined ? {} : { maxKeysPerSecond }),
      },
      {
        ...(resumeFrom ? { resumeFrom } : {}),
        signal: Context.current().cancellationSignal,
        onProgress: (progress) =>
          beat({
            progress: {
              text: textOf(progress),
              unit: 'keys',
              done: progress.keysDone,
              total: progress.keysTotal,
              // The first page has no pace yet, and no end can be told from it.
              ...(progress.keysPerSecond > 0
                ? { perSecond: Math.round(progress.keysPerSecond), etaMs: Math.round(progress.etaMs) }
                : {}),
            },
            checkpoint: progress.checkpoint,
          }),
      },
    );
  } catch (error) {
    throw compareFailure(error);
  }
}

function textOf({ db, phase, node, differences }: CompareProgress): string {
  const direction = phase === 'source' ? 'source to target' : 'target to source';
  const where = node.of > 1 ? `, node ${node.at} of ${node.of}` : '';
  return `comparing db ${db}, ${direction}${where}, ${differences} differences`;
}

function compareFailure(error: unknown): Error {
  if (!(error instanceof CompareError)) return redisFailure(error, 'source or target');
  if (error.retryable) return transient(ErrorType.busy, error.message);
  return permanent(error.code === 'COMMAND_REFUSED' ? ErrorType.denied : ErrorType.invalid, error.message);
}
