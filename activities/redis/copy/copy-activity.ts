/** The copy as an activity: every key once, on the copy queue; goes on from its heartbeat after a crash. */
import { Context } from '@temporalio/activity';
import { ErrorType } from '../../../spec/errors.ts';
import type { CopyRedisInput, CopyRedisResult } from '../../../spec/redis-copy.ts';
import type { Progress } from '../../../spec/status.ts';
import type { RedisEndpoint } from '../../../spec/values.ts';
import { beat, lastBeat } from '../../beat.ts';
import { permanent, transient } from '../../errors.ts';
import { connectRedis, redisFailure } from '../connect.ts';
import { copyOnce } from './session.ts';
import { CopyError } from './types.ts';
import type { CopyCheckpoint, CopyConnections, CopyState } from './types.ts';

/** A page of large keys may take a slow server seconds. */
const COMMAND_TIMEOUT_MS = 60_000;

/**
 * Connections to both sides by their endpoints; the nodes of a cluster are reached with the same user and TLS.
 * @param role whoever opens a copy ends earlier connections of the same migration and role
 */
export function connectionsOf(
  { migrationId, source, target }: Pick<CopyRedisInput, 'migrationId' | 'source' | 'target'>,
  role: 'copy' | 'repair' = 'copy',
): CopyConnections {
  const name = `cutover:${migrationId}:${role}`;
  const side = (endpoint: RedisEndpoint) => ({
    at: { host: endpoint.host, port: endpoint.port },
    connect: (at: { host: string; port: number }) =>
      connectRedis({ ...endpoint, ...at }, { name, timeoutMs: COMMAND_TIMEOUT_MS }),
  });
  return { source: side(source), target: side(target) };
}

/**
 * Copies every key of every database once, in one of two modes (spec/redis-copy.ts). What is changed meanwhile may be
 * missed: the source must stand still, or what is written must reach the target in another way. Can run twice: copies the
 * keys again, and ends an earlier attempt's connections first, so that nothing of it overwrites newer states.
 * @throws cutover.Unreachable, cutover.Busy (retried from the last checkpoint), cutover.Denied, cutover.Invalid
 */
export async function copyRedis(input: CopyRedisInput): Promise<CopyRedisResult> {
  const resumeFrom = lastBeat<CopyCheckpoint>()?.checkpoint;
  try {
    return await copyOnce(
      connectionsOf(input),
      { ...input.copy, mode: input.mode, migrationId: input.migrationId },
      {
        ...(resumeFrom?.version === 1 ? { resumeFrom } : {}),
        signal: Context.current().cancellationSignal,
        onProgress: (state, checkpoint) => beat({ progress: copyProgress(state), checkpoint }),
      },
    );
  } catch (error) {
    throw copyFailure(error);
  }
}

/** The state as progress for people. */
export function copyProgress(state: CopyState): Progress {
  const done = state.nodes.reduce((sum, { keys }) => sum + keys, 0);
  const total = state.nodes.reduce((sum, { keysTotal }) => sum + keysTotal, 0);
  const nodes =
    state.nodes.length > 1
      ? `, ${state.nodes.filter(({ state }) => state !== 'scanning').length} of ${state.nodes.length} nodes done`
      : '';
  return {
    text: state.inSync && state.queued === 0 ? 'in sync' : `${TEXT[state.phase]}${nodes}`,
    unit: 'keys',
    done,
    total,
    // The first page has no pace yet, and no end can be told from it.
    ...(state.keysPerSecond > 0 ? { perSecond: state.keysPerSecond, etaMs: state.etaMs } : {}),
    ...(state.phase === 'scanning' ? {} : { lagSeconds: Math.round(state.oldestMs / 1000) }),
  };
}

const TEXT: Record<CopyState['phase'], string> = {
  scanning: 'copying',
  reconciling: 'comparing again what was not heard',
  following: 'following',
  draining: 'draining',
  done: 'copied',
};

/** Translates what the copy throws into failures of ours. */
export function copyFailure(error: unknown): Error {
  if (!(error instanceof CopyError)) return redisFailure(error, 'source or target');
  const options = error.remedy === undefined ? {} : { remedy: error.remedy };
  if (error.retryable) {
    const type = error.code === 'CONNECTION_LOST' ? ErrorType.unreachable : ErrorType.busy;
    return transient(error.code === 'DEADLINE' ? ErrorType.deadline : type, error.message, options);
  }
  return permanent(error.code === 'DIFFERS' ? ErrorType.differs : ErrorType.invalid, error.message, options);
}
