/** One list of hooks over its runs, inside the critical section and in the step that goes on with it after a failure. */
import type { HookDone, HooksFailedFacts } from '../activities/hooks/run-hooks.ts';
import { hookTitle, type Hook } from '../spec/hooks.ts';

type Before = Pick<HookDone, 'index' | 'undoState'>;

export class HookList {
  readonly hooks: Hook[];
  /** What was there before, for their undo: looked up before the fence, and never again. */
  prepared: Before[] = [];
  done: HookDone[] = [];
  /** The first one to run. */
  from = 0;

  constructor(hooks: Hook[]) {
    this.hooks = hooks;
  }

  get titles(): string {
    return this.hooks.map(hookTitle).join(', ');
  }

  /** For `runHooks`. What a run looked up that failed counts too: a later look would find its doing. */
  get before(): Before[] {
    return [...this.prepared, ...this.done.map(({ index, undoState }) => ({ index, undoState }))];
  }

  /** Takes over what a failure tells of the hooks. */
  failed(facts: Record<string, unknown> | undefined): void {
    const { failedIndex, done } = (facts ?? {}) as Partial<HooksFailedFacts>;
    if (typeof failedIndex === 'number') this.from = failedIndex;
    if (done) this.note(done);
  }

  note(done: HookDone[]): void {
    const again = new Set(done.map(({ index }) => index));
    this.done = [...this.done.filter(({ index }) => !again.has(index)), ...done];
  }

  undone(): void {
    this.from = 0;
    this.done = [];
  }
}
