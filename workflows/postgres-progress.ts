/** What an operator reads of a replication's state. Pure. */
import type { ReplicationState } from '../spec/postgres-plan.ts';
import type { Progress } from '../spec/status.ts';

export function replicationProgress(state: ReplicationState): Progress {
  const { tables, rowsLoaded, percent, lagMs, validation, retainedBytes } = state;
  const parts = [state.engineState];
  if (state.phase === 'loading' || state.phase === 'starting') {
    parts.push(`${tables.loaded} of ${tables.total} tables, ${rowsLoaded} rows${percent ? `, ${percent} %` : ''}`);
  }
  if (state.phase === 'following') {
    parts.push(lagMs === undefined ? 'no marker has arrived yet' : `lag ${Math.round(lagMs / 100) / 10} s`);
    if (validation && validation.failed + validation.suspended + validation.pending > 0) {
      const { failed, suspended, pending } = validation;
      parts.push(`validation: ${failed} failed, ${suspended} suspended, ${pending} pending`);
    }
  }
  if (tables.failed > 0) parts.push(`${tables.failed} tables failed`);
  if (retainedBytes !== undefined && retainedBytes > 1_048_576) {
    parts.push(`the source keeps ${Math.round(retainedBytes / 1_048_576)} MiB of WAL`);
  }
  if (state.notReady && state.phase === 'following') parts.push(`not ready: ${state.notReady}`);
  return {
    text: parts.join(', '),
    ...(state.phase === 'loading' ? { done: tables.loaded, total: tables.total } : {}),
    ...(lagMs === undefined ? {} : { lagSeconds: Math.round(lagMs / 1000) }),
  };
}
