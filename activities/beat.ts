/**
 * Heartbeats. Every activity beats on its own (worker/interceptors.ts calls `keepBeating`), because a beat is also how an
 * activity hears that it is cancelled or paused; what it says of its progress is set here and sent again each time, so
 * that an automatic beat never erases a checkpoint.
 */
import { Context } from '@temporalio/activity';
import type { Progress } from '../spec/status.ts';

export interface Beat<C = unknown> {
  progress?: Progress;
  /** Where to go on after a crash; small and serialisable. */
  checkpoint?: C;
}

/** `at`: when the activity last beat by itself, ms, by performance.now(). */
const latest = new WeakMap<Context, { beat: Beat; at: number }>();

/**
 * So many intervals after a beat of the activity's own, the automatic one is due. Encoding and sending a beat is the
 * largest part of what a wait costs, and a thousand of them wait on one worker: a watch at a gate reads, and beats, every
 * two intervals (redis-online.ts), and needs no other.
 */
const OWN_BEAT_LASTS = 2.1;

/** Says how far the activity is. Sent with the next beat, and at once to the SDK, which throttles. */
export function beat(details: Beat): void {
  const context = Context.current();
  const before = latest.get(context)?.beat;
  const merged: Beat = { ...before, ...details };
  // Each part of an activity keeps its own fields; one must not erase another's.
  if (isFields(before?.checkpoint) && isFields(details.checkpoint)) {
    merged.checkpoint = { ...before.checkpoint, ...details.checkpoint };
  }
  latest.set(context, { beat: merged, at: performance.now() });
  context.heartbeat(merged);
}

function isFields(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** What the last attempt of this activity said before it ended, if anything. */
export function lastBeat<C>(): Beat<C> | undefined {
  return Context.current().info.heartbeatDetails as Beat<C> | undefined;
}

/**
 * Beats every `intervalMs` until the returned function is called, or so long after the last beat of the activity's own:
 * it is never silent for more than 2.1 intervals.
 */
export function keepBeating(intervalMs: number): () => void {
  const context = Context.current();
  const carried = context.info.heartbeatDetails as Beat | undefined;
  if (carried) latest.set(context, { beat: carried, at: -Infinity });
  let timer: NodeJS.Timeout;
  const wakeIn = (ms: number) => {
    timer = setTimeout(() => {
      const last = latest.get(context);
      const left = last ? last.at + OWN_BEAT_LASTS * intervalMs - performance.now() : 0;
      if (left <= 0) context.heartbeat(last?.beat ?? {});
      wakeIn(left <= 0 ? intervalMs : left);
    }, ms);
  };
  wakeIn(intervalMs);
  return () => clearTimeout(timer);
}
