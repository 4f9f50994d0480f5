/** What an operator is told of a failure. Pure. */
import { ActivityFailure, ApplicationFailure, TimeoutFailure } from '@temporalio/common';

export interface FailureReason {
  message: string;
  type?: string;
  remedy?: string;
  facts?: Record<string, unknown>;
}

/** Looks through Temporal's wrapping for the sentence that our activity wrote, its type, remedy and facts. */
export function reasonOf(error: unknown): FailureReason {
  if (error instanceof ActivityFailure && error.cause) {
    const inner = reasonOf(error.cause);
    if (error.cause instanceof TimeoutFailure) return { ...inner, message: `${error.activityType}: ${inner.message}` };
    return inner;
  }
  if (error instanceof TimeoutFailure) {
    const last = error.cause ? `; last: ${reasonOf(error.cause).message}` : '';
    const inner = error.cause ? reasonOf(error.cause) : undefined;
    return { ...inner, message: `no end within its time (${error.timeoutType})${last}` };
  }
  if (error instanceof ApplicationFailure) {
    const facts = error.details?.[0] as Record<string, unknown> | undefined;
    return {
      message: error.message,
      ...(error.type ? { type: error.type } : {}),
      ...(typeof facts?.['remedy'] === 'string' ? { remedy: facts['remedy'] } : {}),
      ...(facts ? { facts } : {}),
    };
  }
  return { message: error instanceof Error ? error.message : String(error) };
}
