/** Waiting until every instance of the application follows a phase. */
import { sleep } from '@temporalio/activity';
import { harmlessFrom, type DualControl } from '../../../spec/dual-write.ts';
import { ErrorType } from '../../../spec/errors.ts';
import type { RedisDualWrite } from '../../../spec/kind-redis-dual-write.ts';
import { beat } from '../../beat.ts';
import { permanent } from '../../errors.ts';
import { withControl, type ControlKey } from './control.ts';
import { judgeInstances, notAllThere, readInstances, remedyFor, retireGone, type Judged } from './instances.ts';

export interface AwaitAcksInput {
  migration: RedisDualWrite;
  /** The epoch that this migration has set. */
  epoch: number;
}

const INTERVAL_MS = 100;

/**
 * Until every instance that is known follows, and there are as many as the file expects. Changes nothing but that it takes
 * out instances that are gone for as long as the file says.
 * @throws cutover.Deadline (for good: the operator is asked) naming who does not follow
 */
export async function awaitDualAcks({ migration, epoch }: AwaitAcksInput): Promise<{ instances: number }> {
  return withControl(migration, async (key) => {
    const deadline = performance.now() + migration.instances.ackTimeout;
    for (;;) {
      const { control, nowMs } = await key.read();
      requireEpoch(control, epoch);
      const gone = await retireGone(key, control, nowMs);
      const known = await readInstances(key);
      const judged = judgeInstances(known, control, nowMs);
      const back = control.phase === 'source';
      const lacking = back ? notBack(known, judged, control, nowMs) : notAllThere(migration.instances.min, judged);
      if (lacking === undefined) return { instances: judged.following };
      if (performance.now() > deadline) {
        throw permanent(ErrorType.deadline, `not every instance follows phase ${control.phase}: ${lacking}`, {
          remedy: `${remedyFor(migration, judged)}; then retry`,
        });
      }
      const ended = gone.length > 0 ? `; taken for gone: ${gone.join(', ')}` : '';
      beat({ progress: { text: `${judged.following} instances follow phase ${control.phase}; ${lacking}${ended}` } });
      await sleep(INTERVAL_MS);
    }
  });
}

/** @throws cutover.NotOurs where the phase was changed by somebody else */
export function requireEpoch(control: DualControl, epoch: number): void {
  if (control.epoch === epoch) return;
  throw permanent(
    ErrorType.notOurs,
    `the control key is at epoch ${control.epoch} (phase ${control.phase}), this migration has set epoch ${epoch}: somebody else changed the phase`,
    { remedy: 'find out who runs this migration beside us; abort one of the two' },
  );
}

/** On the way back no instance has to be there, and one that can't write any more holds nothing up. */
function notBack(
  known: Awaited<ReturnType<typeof readInstances>>,
  judged: Judged,
  control: DualControl,
  nowMs: number,
): string | undefined {
  const waiting = judged.missing.filter(({ name, silent }) => {
    const instance = known.find((one) => one.name === name)?.instance;
    return !(silent && instance && nowMs >= harmlessFrom(instance, control));
  });
  return notAllThere(0, { ...judged, missing: waiting });
}

/**
 * The same inside a hold: short, and without a beat of its own.
 * @throws cutover.Deadline after `withinMs`
 */
export async function acksWithin(
  key: ControlKey,
  control: DualControl,
  withinMs: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  const deadline = performance.now() + withinMs;
  for (;;) {
    const { control: now, nowMs } = await key.read();
    requireEpoch(now, control.epoch);
    const judged = judgeInstances(await readInstances(key), control, nowMs);
    const lacking = notAllThere(key.migration.instances.min, judged);
    if (lacking === undefined) return;
    if (performance.now() > deadline) {
      throw permanent(ErrorType.deadline, `not every instance held its writes within ${withinMs} ms: ${lacking}`, {
        remedy: remedyFor(key.migration, judged),
      });
    }
    await key.wait(Math.min(INTERVAL_MS, 20), signal);
  }
}
