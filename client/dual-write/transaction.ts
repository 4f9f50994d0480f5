/** A transaction of the application, once the phase is known. */
import type { Arg, Call } from './call.ts';
import { absolute } from './absolute-expiry.ts';
import type { BatchResults, Item } from './batch.ts';
import { callOf } from './call.ts';
import { treatmentOf } from './command-facts.ts';
import type { Treatment } from './command-facts.ts';
import { effectOf, mayFailHalfway } from './effect.ts';
import type { Effect } from './effect.ts';
import { notSupported } from './errors.ts';
import type { Encoding } from './surface.ts';

export interface Step {
  call: Call;
  treatment: Treatment;
  /** What the application wants, which may be other than what is asked of the server. */
  encoding: Encoding;
}

/** @throws DualWriteError where one of them can't be kept equal: then none is sent */
export function stepsOf(items: readonly Item[], keyPrefix: string): Step[] {
  return items.map(({ name, args, encoding }) => {
    const call = callOf(name, args, keyPrefix);
    const treatment = treatmentOf(call);
    if (treatment !== 'read' && treatment !== 'write' && treatment !== 'authority') {
      throw notSupported(name, 'it has no place in a transaction');
    }
    return { call, treatment, encoding };
  });
}

/** As they are sent: times absolute, and answers as bytes where these go on to the other side. */
export function sendable(steps: readonly Step[], nowMs: number): (Call & { encoding: Encoding })[] {
  return steps.map(({ call, treatment, encoding }) => ({
    ...(treatment === 'write' ? absolute(call, nowMs) : call),
    encoding: asked(call.name, encoding),
  }));
}

/** The keys of its writes, each once. */
export function keysWritten(steps: readonly Step[]): Arg[] {
  return steps.filter(({ treatment }) => treatment === 'write').flatMap(({ call }) => call.keys);
}

/** What the other side is told of all of it: their effects in order, or the state of the keys. */
export function effectOfAll(steps: readonly Step[], sent: readonly Call[], results: BatchResults): Effect {
  const effects: Call[] = [];
  for (const [index, { treatment, call }] of steps.entries()) {
    const [error, value] = results?.[index] ?? [null, undefined];
    const what = sent[index];
    if (results === null || treatment !== 'write' || what === undefined) continue;
    if (error !== null && !mayFailHalfway(call.name)) continue;
    const effect = error === null ? effectOf(what, value) : 'copy';
    if (effect === 'copy') return 'copy';
    effects.push(...effect);
  }
  return effects;
}

/** What the application gets: text where it asked for text. */
export function shown(steps: readonly Step[], results: BatchResults): BatchResults {
  return results === null ? null : results.map(([error, value], index) => [error, decoded(value, steps[index])]);
}

/** Members that go on to SREM must come as bytes: text would lose what is not UTF-8. */
export const asked = (name: string, encoding: Encoding): Encoding => (name === 'spop' ? null : encoding);

export function decoded(value: unknown, step: Pick<Step, 'call' | 'encoding'> | undefined): unknown {
  if (step === undefined || step.encoding === null || asked(step.call.name, step.encoding) !== null) return value;
  const text = (one: unknown): unknown => (Buffer.isBuffer(one) ? one.toString('utf8') : one);
  return Array.isArray(value) ? value.map(text) : text(value);
}
