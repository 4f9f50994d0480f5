/** How activities fail: always with a type of spec/errors.ts, always with a sentence an operator can act on. */
import { ApplicationFailure, ApplicationFailureCategory } from '@temporalio/common';
import type { ErrorType } from '../spec/errors.ts';

interface FailureOptions {
  /** What mends it, shown beside the message. */
  remedy?: string;
  /** Serialisable facts for the caller; never a secret. */
  facts?: Record<string, unknown>;
  cause?: unknown;
}

/** A failure that no retry can mend: the step parks and the operator decides. */
export function permanent(type: ErrorType, message: string, options: FailureOptions = {}): ApplicationFailure {
  return ApplicationFailure.create({
    message,
    type,
    nonRetryable: true,
    details: [{ remedy: options.remedy, ...options.facts }],
    ...(options.cause instanceof Error ? { cause: options.cause } : {}),
  });
}

/**
 * A failure that will pass. Benign ones keep out of the failure metrics: waiting for a state is no failure.
 * `afterMs` asks for a slower retry than the policy's own (throttling, a state that takes minutes).
 */
export function transient(
  type: ErrorType,
  message: string,
  options: FailureOptions & { afterMs?: number; benign?: boolean } = {},
): ApplicationFailure {
  return ApplicationFailure.create({
    message,
    type,
    nonRetryable: false,
    details: [{ remedy: options.remedy, ...options.facts }],
    ...(options.afterMs === undefined ? {} : { nextRetryDelay: options.afterMs }),
    ...(options.benign ? { category: ApplicationFailureCategory.BENIGN } : {}),
    ...(options.cause instanceof Error ? { cause: options.cause } : {}),
  });
}
