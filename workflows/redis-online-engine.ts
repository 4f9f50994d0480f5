/** What differs between the engines of `redis-online`; redis-online.ts is the runbook that all of them follow. */
import type { AttachResult } from '../activities/redis/attach-replicaof.ts';
import type { SyncState } from '../spec/redis-sync.ts';
import type { RedisEndpoint } from '../spec/values.ts';
import type { CriticalSection } from './critical-section.ts';
import type { HookList } from './hook-list.ts';
import type { Run, Undo } from './runbook.ts';

/** What the attach found out, kept for the rest of the migration. */
export interface Attached extends AttachResult {
  /** The target's primary, as the worker reaches it. */
  target: RedisEndpoint;
}

export interface RedisOnlineEngine {
  /** Tries, without changing anything, whether the target reaches the source. */
  testMigration?(): Promise<string>;
  attach(run: Run): Promise<Attached>;
  /** The undo of attach, registered under the name `detach`. */
  detach: Undo;
  /** Follows until something material changes. */
  watch(run: Run, attached: Attached, last: SyncState | undefined, intervalFactor: number): Promise<SyncState>;
  /** A full copy that is cut off again and again may be mended by lifting the source's limit. */
  readonly mayLiftBufferLimit?: boolean;
  /** What follows may have been begun again: what it has to catch up with then, a compare would call differences. */
  readonly catchesUp?: boolean;
  /** One pass through the critical section. `hooks` tells how far they are, and is told. */
  section(run: Run, attached: Attached, cutover: number, hooks: HookList): CriticalSection;
  /**
   * Of an engine that promotes nothing: until the hooks begin, everything can be undone. Makes sure, right before them, that
   * nobody has written past the fence meanwhile.
   */
  beforeHooks?(run: Run): Promise<void>;
  /** After the soak: what the engine still has to tidy up. */
  tidyUp?(attached: Attached, run: Run): Promise<void>;
  /** Ends what it has under way beside the steps, before the history is cut; it is begun again after it. */
  pauseBeside?(): Promise<void>;
}
