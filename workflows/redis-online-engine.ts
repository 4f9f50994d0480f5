/** What differs between the two engines of `redis-online`; redis-online.ts is the runbook that both follow. */
import type { HookDone, HooksFailedFacts } from '../activities/hooks/run-hooks.ts';
import type { AttachResult } from '../activities/redis/attach-replicaof.ts';
import type { RedisEndpoint } from '../spec/values.ts';
import type { CriticalSection } from './critical-section.ts';
import type { Run, Undo } from './runbook.ts';

/** What the attach found out, kept for the rest of the migration. */
export interface Attached extends AttachResult {
  /** The target's primary, as the worker reaches it. */
  target: RedisEndpoint;
}

/** How far the hooks are, over the critical section and the step that goes on with them after a failure. */
export interface HooksProgress {
  /** The first one to run. */
  from: number;
  /** What was there before, for their undo: looked up before the fence, and never again. */
  before: Pick<HookDone, 'index' | 'undoState'>[];
}

export interface RedisOnlineEngine {
  /** Tries, without changing anything, whether the target reaches the source. */
  testMigration?(): Promise<string>;
  attach(): Promise<Attached>;
  /** The undo of attach, registered under the name `detach`. */
  detach: Undo;
  /** One pass through the critical section. `hooks` tells how far they are, and is told. */
  section(run: Run, attached: Attached, cutover: number, hooks: HooksProgress): CriticalSection;
  /** After the soak: what the engine still has to tidy up. */
  tidyUp?(attached: Attached): Promise<void>;
}

/** Takes over what a failure tells of the hooks. */
export function noteHooks(hooks: HooksProgress, facts: Record<string, unknown> | undefined): void {
  const { failedIndex, done } = (facts ?? {}) as Partial<HooksFailedFacts>;
  if (typeof failedIndex === 'number') hooks.from = failedIndex;
  if (!done) return;
  const known = new Set(hooks.before.map(({ index }) => index));
  hooks.before.push(...done.filter(({ index }) => !known.has(index)));
}
