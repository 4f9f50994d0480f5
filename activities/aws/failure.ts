/** Turns what an AWS client throws into a failure of ours, and says whether a failed call may have had its effect. */
import { ApplicationFailure, CancelledFailure } from '@temporalio/common';
import { ErrorType } from '../../spec/errors.ts';
import { permanent, transient } from '../errors.ts';
import { redact } from '../secrets/redact.ts';
import { rowFor, type Meaning, type Retry } from './error-table.ts';

/** What the SDK's errors have in common; each field may be missing (facts/redis-aws 5.1, measured). */
interface AwsErrorShape {
  name: string;
  message: string;
  /** The wire code of Query services. */
  Code?: string;
  /** Of Node, where the network failed: ECONNREFUSED. */
  code?: string;
  syscall?: string;
  $fault?: 'client' | 'server';
  $metadata?: { httpStatusCode?: number; requestId?: string; attempts?: number };
  errors?: unknown[];
}

/** Pauses before the next try, in ms. Throttling needs the longest: trying sooner keeps the account throttled. */
const AFTER_MS = { slow: 15_000, busy: 10_000, retry: 2_000, unknown: 5_000 } as const;

const TEXT_LIMIT = 500;

function shape(error: unknown): AwsErrorShape {
  return error instanceof Error ? error : { name: 'Error', message: String(error) };
}

/** The service's own code (`InvalidReplicationGroupState`), or the SDK's or Node's name for what went wrong. */
export function awsCode(error: unknown): string {
  const e = shape(error);
  if (e.Code) return e.Code;
  if (e.name === 'AggregateError') return e.code ?? awsCode(e.errors?.[0]);
  if (e.name !== 'Error' && e.name !== 'TimeoutError' && e.name !== 'Unknown') return e.name;
  if (e.code) return e.code;
  const status = e.$metadata?.httpStatusCode;
  return status === undefined ? e.name : `HTTP ${status}`;
}

/** True where the error's code is this one, with or without the SDK's `Fault` or `Exception` at its end. */
export function isCode(error: unknown, code: string): boolean {
  const bare = (text: string) => text.replace(/(Fault|Exception)$/, '');
  const e = shape(error);
  return [e.name, e.Code].some((name) => name !== undefined && bare(name) === bare(code));
}

/** `code: text` on one line, shortened and without secrets. */
export function describeAwsError(error: unknown): string {
  const e = shape(error);
  const code = awsCode(error);
  // The SDK appends advice for its own users to what it could not parse; the first line holds what happened.
  const text = redact((e.message || '').split('\n')[0] ?? '').slice(0, TEXT_LIMIT);
  const told = !text || text === 'Unknown' || text === 'UnknownError' || text === code ? unexplained(e) : text;
  return `${code}: ${told}`;
}

function unexplained(e: AwsErrorShape): string {
  const status = e.$metadata?.httpStatusCode;
  return status === undefined
    ? 'no text'
    : `an answer with HTTP status ${status} and nothing of the service's in it (a proxy, or a wrong endpoint?)`;
}

function classify(error: unknown): { retry: Retry; meaning: Meaning; remedy?: string } {
  const e = shape(error);
  // The class name first, then the wire code: either may be the one that the table knows.
  const row = rowFor(e.name) ?? (e.Code ? rowFor(e.Code) : undefined);
  if (row) return row;
  if (/region is missing/i.test(e.message)) {
    return { retry: 'never', meaning: 'invalid', remedy: 'set aws.region in the file, or AWS_REGION for the worker' };
  }
  if (e.code !== undefined || e.name === 'AggregateError') return { retry: 'retry', meaning: 'unreachable' };
  const status = e.$metadata?.httpStatusCode ?? 0;
  if (status === 429) return { retry: 'slow', meaning: 'throttled' };
  if (status >= 500 || e.$fault === 'server') return { retry: 'slow', meaning: 'unreachable' };
  return { retry: 'unknown', meaning: 'unreachable' };
}

/** How a call that ended with this error is to be tried again. */
export function howToRetry(error: unknown): Retry {
  return classify(error).retry;
}

/**
 * The failure of ours for an error of AWS's: `what: code: text`, with a remedy; to be thrown. Failures of ours and
 * cancellations pass as they are.
 * @param what The call and what it was about: `StartMigration of orders`.
 */
export function awsFailure(error: unknown, what: string): Error {
  if (error instanceof ApplicationFailure || error instanceof CancelledFailure) return error;
  // The activity was cancelled in mid-call: Temporal knows an AbortError for what it is.
  if (error instanceof Error && error.name === 'AbortError') return error;
  const { retry, meaning, remedy } = classify(error);
  const message = `${what}: ${describeAwsError(error)}`;
  const requestId = shape(error).$metadata?.requestId;
  // The SDK's error itself is no cause: it carries the whole response, which Temporal would keep in history.
  const options = {
    ...(remedy ? { remedy } : {}),
    facts: { code: awsCode(error), ...(requestId ? { requestId } : {}) },
  };
  if (retry === 'never') return permanent(ErrorType[meaning], message, options);
  const unreachable =
    meaning === 'unreachable' ? { remedy: remedy ?? 'is the endpoint reachable from the worker?' } : {};
  return transient(ErrorType[meaning], message, {
    ...options,
    ...unreachable,
    afterMs: AFTER_MS[retry],
    benign: retry === 'busy',
  });
}

/** Answers with a 4xx status that say nothing about whether the call was carried out. */
const PROVES_NOTHING =
  /^(RequestTimeout|RequestTimeoutException|RequestAbortedException|NotFound|Unknown|UnknownError|Error)$/;

/** The connection was never made, so nothing was sent. */
const NEVER_CONNECTED = /^(ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH)$/;

/**
 * True where the error proves that *this sending* of the call did nothing: the service answered with an error of its
 * own, or it was never asked. False where the call may have been carried out: timeout, cut connection, 5xx, abort, an
 * answer that is not the service's.
 * It speaks of one sending alone: after the SDK's own retries an earlier one may have worked, so those prove nothing.
 */
export function wasRefused(error: unknown): boolean {
  const e = shape(error);
  if ((e.$metadata?.attempts ?? 1) > 1) return false;
  if (e.name === 'CredentialsProviderError') return true;
  if (e.code !== undefined && NEVER_CONNECTED.test(e.code))
    return e.syscall === 'connect' || e.syscall === 'getaddrinfo';
  const status = e.$metadata?.httpStatusCode ?? 0;
  if (status < 400 || status >= 500 || e.$fault !== 'client') return false;
  return !PROVES_NOTHING.test(awsCode(error)) && !awsCode(error).startsWith('HTTP ');
}
