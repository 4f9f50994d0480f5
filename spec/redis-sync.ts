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
  const progress: Progress = { text: state.unreachable ?? PHASE_TEXT[state.phase] };
  if (state.inSync) progress.text = 'in sync';
  if (state.phase === 'copying' || state.phase === 'saving') {
    progress.unit = 'bytes';
    progress.done = state.readBytes;
    if (state.totalBytes > 0) progress.total = state.totalBytes;
  }
  if (state.lagBytes !== undefined) progress.lagBytes = state.lagBytes;
  if (state.lagSeconds !== undefined) progress.lagSeconds = state.lagSeconds;
  return progress;
}
