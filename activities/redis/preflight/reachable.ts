/** Whether a server answers at all: the one check that says so, instead of thirty. */
import { ApplicationFailure } from '@temporalio/common';
import { ErrorType } from '../../../spec/errors.ts';
import { fail, pass, unknown, type Finding } from '../../preflight/check.ts';
import { redisCli } from './commands.ts';
import type { RedisProbe } from './probe.ts';

/** The type and message of a failure of ours, whatever was thrown. */
export function failureOf(error: unknown): { type: string | undefined; message: string; remedy: string | undefined } {
  const message = error instanceof Error ? error.message : String(error);
  if (!(error instanceof ApplicationFailure)) return { type: undefined, message, remedy: undefined };
  const details: unknown = error.details?.[0];
  const remedy = typeof details === 'object' && details !== null && 'remedy' in details ? details.remedy : undefined;
  return { type: error.type ?? undefined, message, remedy: typeof remedy === 'string' ? remedy : undefined };
}

/** Connects and reads INFO; a server that only answers PING is one of which nothing can be known. */
export async function reachable(probe: RedisProbe): Promise<Finding> {
  try {
    await probe.connection();
  } catch (error) {
    const { type, message, remedy } = failureOf(error);
    if (/protected mode/i.test(message)) {
      return fail(
        `the ${probe.side} ${probe.where} is in protected mode, and speaks to nobody from outside`,
        `on the ${probe.side}'s own machine: ${redisCli({ ...probe.endpoint, host: '127.0.0.1' }, 'CONFIG', 'SET', 'protected-mode', 'no')}`,
      );
    }
    if (type === ErrorType.busy) return unknown(message, `wait, then: ${redisCli(probe.endpoint, 'PING')}`);
    return fail(
      message,
      remedy === undefined ? undefined : `${remedy}; look from the worker: ${redisCli(probe.endpoint, 'PING')}`,
    );
  }
  const version = await probe.version();
  return pass(`${version.text} at ${probe.where} answers`);
}
