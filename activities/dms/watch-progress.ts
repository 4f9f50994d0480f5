/** A state as progress for people, in the heartbeat between two material changes. Pure. */
import prettyBytes from 'pretty-bytes';
import type { ReplicationState } from '../../spec/postgres-plan.ts';
import type { Progress } from '../../spec/status.ts';

/** WAL that is worth a word, bytes. */
const MUCH_WAL = 64 * 1024 * 1024;

export function watchProgress(state: ReplicationState): Progress {
  const { tables, rowsLoaded, percent, lagMs, validation, retainedBytes = 0, notReady } = state;
  const parts = [state.engineState];
  if (state.phase === 'loading' || state.phase === 'starting') {
    parts.push(`${tables.loaded} of ${tables.total} tables, ${rowsLoaded} rows`);
    if (percent !== undefined) parts.push(`about ${percent} %`);
  }
  if (state.phase === 'following') {
    parts.push(lagMs === undefined ? 'no marker has arrived yet' : `lag ${Math.round(lagMs / 100) / 10} s`);
    if (validation) parts.push(`validated ${validation.validated} of ${tables.total}`);
    if (notReady) parts.push(`not ready: ${notReady}`);
  }
  if (tables.failed > 0) parts.push(`${tables.failed} tables failed`);
  if (retainedBytes > MUCH_WAL) parts.push(`the source keeps ${prettyBytes(retainedBytes, { binary: true })} of WAL`);
  if (state.stalledSince !== undefined)
    parts.push(`nothing has moved since ${new Date(state.stalledSince).toISOString()}`);
  return {
    text: parts.join(', '),
    ...(state.phase === 'loading' ? { done: tables.loaded, total: tables.total } : {}),
    ...(lagMs === undefined ? {} : { lagSeconds: Math.round(lagMs / 1000) }),
  };
}
