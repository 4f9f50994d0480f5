/** What every hook is run with, and the texts that it fills in. */
import { ApplicationFailure, CancelledFailure } from '@temporalio/common';
import { Context, sleep } from '@temporalio/activity';
import { ErrorType } from '../../spec/errors.ts';
import type { AwsTarget } from '../aws/clients.ts';
import { permanent } from '../errors.ts';

export interface HookContext {
  migrationId: string;
  /** Of HooksArgs. */
  run?: string;
  /** In the file's list, from 0. */
  index: number;
  /** What an undo runs for is the same target: the hook's texts must come out the same. */
  target: { host: string; port: number };
  aws: AwsTarget;
  /** Ends with the hook's timeout and with the activity. */
  signal: AbortSignal;
  /** ms, by performance.now(). */
  deadline: number;
  /** Tells how far it is: `deploying`. */
  say: (text: string) => void;
}

/** Fills `${target.host}` and `${target.port}` in; other `${…}` are left as they are, they may be the receiver's own. */
export function fillIn(text: string, { target }: Pick<HookContext, 'target'>): string {
  return text.replaceAll('${target.host}', target.host).replaceAll('${target.port}', String(target.port));
}

/** fillIn over every string in a JSON value. */
export function fillInDeep(value: unknown, context: Pick<HookContext, 'target'>): unknown {
  if (typeof value === 'string') return fillIn(value, context);
  if (Array.isArray(value)) return value.map((item) => fillInDeep(item, context));
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, fillInDeep(item, context)]));
  }
  return value;
}

/** The longest pause between two tries, ms: a hook is run while an application waits. */
const LONGEST_PAUSE_MS = 5_000;

/**
 * Runs `use` within the hook's timeout, and again after each failure that can pass.
 * @throws cutover.Hook at the timeout, with the last failure's text; CancelledFailure; what is permanent at once
 */
export async function withinTimeout<T>(
  timeoutMs: number,
  base: Omit<HookContext, 'signal' | 'deadline'>,
  use: (context: HookContext) => Promise<T>,
): Promise<T> {
  const timeout = AbortSignal.timeout(timeoutMs);
  const cancelled = Context.current().cancellationSignal;
  const deadline = performance.now() + timeoutMs;
  const context: HookContext = { ...base, signal: AbortSignal.any([timeout, cancelled]), deadline };
  let last: string | undefined;
  for (let pauseMs = 250; ; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
    try {
      return await use(context);
    } catch (error) {
      if (cancelled.aborted) throw new CancelledFailure('cancelled while a hook was running', [], asError(error));
      const failure = error instanceof ApplicationFailure ? error : undefined;
      const passes = failure !== undefined && !failure.nonRetryable;
      if (!timeout.aborted && !passes) throw error;
      // An abort's own text says only that there was one.
      if (failure) last = failure.message;
      if (timeout.aborted || performance.now() + pauseMs >= deadline) {
        throw permanent(
          ErrorType.hook,
          `not done within ${timeoutMs / 1000} s${last === undefined ? '' : `: ${last}`}`,
          {
            remedy: 'mend the cause, or give the hook a longer timeout in the file; then retry the step',
          },
        );
      }
      context.say(`tried again: ${last}`);
    }
    await sleep(pauseMs);
  }
}

function asError(error: unknown): Error | undefined {
  return error instanceof Error ? error : undefined;
}
