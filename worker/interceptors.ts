/** What happens around every activity: it beats, and what it throws shows no secret. */
import { Context } from '@temporalio/activity';
import { ApplicationFailure } from '@temporalio/common';
import type { ActivityExecuteInput, ActivityInboundCallsInterceptor, Next } from '@temporalio/worker';
import { keepBeating } from '../activities/beat.ts';
import { redact } from '../activities/secrets/redact.ts';

const BEATS_PER_TIMEOUT = 4;
const SLOWEST_BEAT_MS = 10_000;

export class AroundActivity implements ActivityInboundCallsInterceptor {
  async execute(input: ActivityExecuteInput, next: Next<ActivityInboundCallsInterceptor, 'execute'>): Promise<unknown> {
    const { heartbeatTimeoutMs } = Context.current().info;
    const stop = heartbeatTimeoutMs
      ? keepBeating(Math.min(SLOWEST_BEAT_MS, heartbeatTimeoutMs / BEATS_PER_TIMEOUT))
      : () => {};
    try {
      return await next(input);
    } catch (error) {
      throw withoutSecrets(error);
    } finally {
      stop();
    }
  }
}

/**
 * Drivers put connection strings and commands into their messages, and stacks repeat them: what becomes a failure is
 * kept in the history for good, so every known secret is taken out first.
 */
function withoutSecrets(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  error.message = redact(error.message);
  if (error.stack) error.stack = redact(error.stack);
  if (error.cause instanceof Error) withoutSecrets(error.cause);
  if (!(error instanceof ApplicationFailure) || !error.details?.length) return error;
  const details = JSON.parse(redact(JSON.stringify(error.details))) as unknown[];
  return Object.defineProperty(error, 'details', { value: details });
}
