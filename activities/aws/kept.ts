/**
 * What an activity keeps over a crash, where it is put together of several calls that each keep something: one must not
 * wipe out what another one noted in the heartbeat.
 */
import { Context } from '@temporalio/activity';
import { beat, lastBeat } from '../beat.ts';

const noted = new WeakMap<Context, Record<string, unknown>>();

/** All that was kept so far, by this attempt and the ones before it. */
export function kept<C extends Record<string, unknown>>(): Partial<C> {
  const all = noted.get(Context.current()) ?? lastBeat<Record<string, unknown>>()?.checkpoint ?? {};
  return all as Partial<C>; // eslint-disable-line typescript/no-unsafe-type-assertion -- what C says is what was kept
}

/** Keeps these values beside the others; small and serialisable, and never a secret. */
export function keep(values: Record<string, unknown>): void {
  const all = { ...kept(), ...values };
  noted.set(Context.current(), all);
  beat({ checkpoint: all });
}
