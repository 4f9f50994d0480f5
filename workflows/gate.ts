/** A gate: waits for an operator's approval, for a window, or opens by itself, while something is watched meanwhile. */
import { CancellationScope, condition, isCancellation } from '@temporalio/workflow';
import type { Progress } from '../spec/status.ts';
import { now } from './board.ts';
import { reasonOf } from './failure-reason.ts';
import type { Run } from './runbook.ts';

/** What the watcher saw: whether the gate may be opened now, and if not, why. */
export interface GateReading {
  ready: boolean;
  notReady?: string;
  progress?: Progress;
}

export interface GateOptions<R extends GateReading> {
  title: string;
  opens: 'manual' | 'auto' | { from: string; to: string };
  /** What has to be typed to approve it. Such a gate never opens by itself, whatever `opens` says. */
  confirm?: string;
  /** One long activity that returns at a material change. It is run again and again until the gate opens. */
  watch(last: R | undefined): Promise<R>;
  /** Before the watch is tried again at an operator's word. */
  beforeRetry?(): Promise<void>;
}

/**
 * Waits until the gate may be passed.
 * An automatic gate that was passed before and came back (its cutover was undone) waits for a person: what failed once
 * by itself must not be tried for ever by itself, each time holding writes back.
 * @throws Abort (through the runbook) where the operator aborts
 */
export async function gate<R extends GateReading>(run: Run, id: string, options: GateOptions<R>): Promise<void> {
  await run.border(id);
  const since = run.status.gate?.since;
  run.board.begin(id);
  const byItself = run.board.step(id).tries === 1 && options.confirm === undefined;
  const opens = byItself ? options.opens : 'manual';
  showClosed(run, id, options, opens, since);
  const by = await watchUntilOpen(run, id, options, opens);
  run.board.update((status) => {
    delete status.gate;
    status.phase = 'running';
  });
  run.board.end(id, 'done', by);
}

/**
 * The gate as it is before its first reading. An approval that was given before is void: it was meant for what could be
 * seen then, not for what comes after a pause or a failure.
 */
function showClosed(
  run: Run,
  id: string,
  { title, confirm }: Pick<GateOptions<GateReading>, 'title' | 'confirm'>,
  opens: GateOptions<GateReading>['opens'],
  since = now(),
): void {
  run.takeApproval();
  run.board.update((status) => {
    status.phase = 'waiting';
    status.step = id;
    run.board.step(id).state = 'running';
    status.gate = { id, title, since, ready: false, ...(confirm === undefined ? {} : { confirm }) };
    if (typeof opens === 'object') Object.assign(status.gate, { opensAt: opens.from, closesAt: opens.to });
  });
}

async function watchUntilOpen<R extends GateReading>(
  run: Run,
  id: string,
  options: GateOptions<R>,
  opens: GateOptions<R>['opens'],
): Promise<string> {
  let last: R | undefined;
  for (;;) {
    // Only here, between two readings, no activity is under way and the history may be cut.
    await run.breathe();
    const scope = new CancellationScope();
    const reading = settle(scope.run(() => options.watch(last)));
    const isOpen = () => openedBy(run, opens);
    let by = await untilOpen(run, isOpen, reading, opens);
    if (by === undefined && !run.aborting) by = isOpen();
    scope.cancel();
    // What it watches may take seconds to hear of it. Meanwhile nobody is waited for, and nobody must be asked.
    const decided = by ?? (run.aborting ? 'it aborts' : run.status.pausedBy ? 'it pauses' : undefined);
    if (decided !== undefined) show(run, id, { ready: false, notReady: `${decided}; what it watches is being ended` });
    const result = await reading.done;
    if (run.aborting || run.status.pausedBy) {
      run.board.update((status) => delete status.gate);
      await run.border(id);
      showClosed(run, id, options, opens);
      return watchUntilOpen(run, id, options, opens);
    }
    if (by !== undefined) return by;
    if ('value' in result) {
      last = result.value;
      show(run, id, result.value);
    } else {
      await failed(run, id, result.error, async () => options.beforeRetry?.());
      showClosed(run, id, options, opens);
      last = undefined;
    }
  }
}

/** Why the gate is open now, if it is. */
function openedBy(run: Run, opens: GateOptions<GateReading>['opens']): string | undefined {
  const ready = run.status.gate?.ready ?? false;
  if (run.approved && ready) {
    const { by, reason } = run.takeApproval()!;
    return `approved by ${by}${reason ? `: ${reason}` : ''}`;
  }
  if (!ready) return undefined;
  if (opens === 'auto') return 'opened by itself, as the file says';
  if (typeof opens === 'object') {
    const time = Date.now();
    if (time >= Date.parse(opens.from) && time < Date.parse(opens.to))
      return `opened in its window, from ${opens.from}`;
  }
  return undefined;
}

async function untilOpen(
  run: Run,
  isOpen: () => string | undefined,
  reading: Settled<unknown>,
  opens: GateOptions<GateReading>['opens'],
): Promise<string | undefined> {
  let by: string | undefined;
  const wake = () => {
    by ??= isOpen();
    return by !== undefined || reading.settled() || run.aborting || run.status.pausedBy !== undefined;
  };
  const untilWindow = typeof opens === 'object' ? Date.parse(opens.from) - Date.now() : -1;
  if (untilWindow > 0) {
    await condition(wake, untilWindow, { summary: `the window opens at ${(opens as { from: string }).from}` });
  } else {
    await condition(wake);
  }
  return by;
}

function show(run: Run, id: string, reading: GateReading): void {
  run.board.update((status) => {
    if (status.gate?.id !== id) return;
    status.gate.ready = reading.ready;
    if (reading.ready || !reading.notReady) delete status.gate.notReady;
    else status.gate.notReady = reading.notReady;
    if (reading.progress) status.progress = reading.progress;
  });
}

/** The watcher itself failed for good: the operator is asked, and the gate is not open meanwhile. */
async function failed(run: Run, id: string, error: unknown, beforeRetry?: () => Promise<void>): Promise<void> {
  if (isCancellation(error)) return;
  run.rethrowUnlessFailure(error);
  show(run, id, { ready: false, notReady: reasonOf(error).message });
  await run.park(id, error as Error, ['retry', 'abort']);
  try {
    await beforeRetry?.();
  } catch (again) {
    await failed(run, id, again, beforeRetry);
  }
}

interface Settled<T> {
  done: Promise<{ value: T } | { error: unknown }>;
  settled(): boolean;
}

function settle<T>(promise: Promise<T>): Settled<T> {
  let over = false;
  const done = promise.then(
    (value) => ({ value }),
    (error: unknown) => ({ error }),
  );
  void done.then(() => (over = true));
  return { done, settled: () => over };
}
