/** How far a target is in following its source. Computed from both sides; no service says it (facts/redis-aws 4.2). */
import type { Progress } from './status.ts';

export type SyncPhase = 'detached' | 'attaching' | 'saving' | 'copying' | 'online';

export interface SyncReading {
  phase: SyncPhase;
  /** Source offset minus target offset; only where the phase is online. */
  lagBytes?: number;
  lagSeconds?: number;
  readBytes: number;
  totalBytes: number;
  /** `engine: scan`: of the first copy. */
  keys?: { done: number; total: number; perSecond: number; etaMs: number };
  /** What an operator should know of it: events that were lost, a node that was begun anew. */
  notes?: string[];
  /** What it does meanwhile, where that is more than to follow. */
  doing?: string;
}

export interface SyncState extends SyncReading {
  inSync: boolean;
  /** How many full copies the source began since the attach, for all its replicas; one is the target's own. */
  fullSyncs: number;
  /** Tenths of the copy that are done. */
  tenth: number;
  /** Set where one side can't be reached, for more than a passing moment. */
  unreachable?: string;
}

const PHASE_TEXT: Record<SyncReading['phase'], string> = {
  detached: 'the target is not attached',
  attaching: 'the target connects to the source',
  saving: 'the source saves a snapshot of itself (BGSAVE)',
  copying: 'the first copy is under way',
  online: 'following',
};

/** The state as progress for people, the same in heartbeats, status and UI. */
export function syncProgress(state: SyncState): Progress {
  const progress: Progress = { text: state.unreachable ?? state.doing ?? PHASE_TEXT[state.phase] };
  if (state.inSync) progress.text = 'in sync';
  if (state.phase === 'copying' && state.keys) {
    const { perSecond, etaMs, ...keys } = state.keys;
    // The first page has no pace yet, and no end can be told from it.
    Object.assign(progress, { unit: 'keys', ...keys }, perSecond > 0 ? { perSecond, etaMs } : {});
  } else if (state.phase === 'copying' || state.phase === 'saving') {
    progress.unit = 'bytes';
    progress.done = state.readBytes;
    if (state.totalBytes > 0) progress.total = state.totalBytes;
  }
  if (state.lagBytes !== undefined) progress.lagBytes = state.lagBytes;
  if (state.lagSeconds !== undefined) progress.lagSeconds = state.lagSeconds;
  return progress;
}
