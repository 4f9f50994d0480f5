/** Functional checks: whether the application works on the target, by what it answers and by what is in the database. */
import { ApplicationFailure, CancelledFailure } from '@temporalio/common';
import { Context, sleep } from '@temporalio/activity';
import type { FunctionalCheck } from '../../spec/checks.ts';
import { ErrorType } from '../../spec/errors.ts';
import type { AwsSettings, PostgresEndpoint } from '../../spec/values.ts';
import { beat } from '../beat.ts';
import { permanent } from '../errors.ts';
import { redact } from '../secrets/redact.ts';
import { httpFinding } from './http-check.ts';
import { sqlFinding } from './sql-check.ts';

export interface ChecksInput {
  migration: { id: string; source: PostgresEndpoint; target: PostgresEndpoint; aws: AwsSettings };
  checks: FunctionalCheck[];
}

export interface CheckOutcome {
  name: string;
  /** How often it was tried until it held. */
  tries: number;
  ms: number;
}

/** One try: undefined where it holds, else what was expected and what was got. */
export type Finding = { expected: string; got: string } | undefined;

export interface Attempt {
  migration: ChecksInput['migration'];
  /** Ends with the check's timeout and with the activity. */
  signal: AbortSignal;
  /** What is left of the check's timeout, ms. */
  leftMs: number;
}

/** The longest pause between two tries, ms: a switch waits for the answer. */
const LONGEST_PAUSE_MS = 2_000;

/**
 * Runs the checks one after the other, each again and again until it holds or its timeout has passed. Changes nothing of
 * itself (a POST may) and may run twice.
 * @throws cutover.Hook at the first check that does not hold, naming it, what was expected and what was got;
 *   cutover.Secret; CancelledFailure
 */
export async function runFunctionalChecks(input: ChecksInput): Promise<{ results: CheckOutcome[] }> {
  const results: CheckOutcome[] = [];
  for (const [index, check] of input.checks.entries()) {
    const place = `check ${index + 1}/${input.checks.length} ${checkTitle(check)}`;
    const say = (text: string) =>
      beat({ progress: { text: redact(`${place}: ${text}`), done: index, total: input.checks.length } });
    results.push({ name: checkTitle(check), ...(await untilItHolds(input, check, place, say)) });
  }
  return { results };
}

/** A check's name for people: the file's, or what it asks. */
function checkTitle(check: FunctionalCheck): string {
  if (check.name) return check.name;
  if (check.type === 'http') return `${check.method} ${new URL(check.url).host}${new URL(check.url).pathname}`;
  return `SQL on the ${check.on}: ${check.query.replaceAll(/\s+/g, ' ').slice(0, 60)}`;
}

async function untilItHolds(
  { migration }: ChecksInput,
  check: FunctionalCheck,
  place: string,
  say: (text: string) => void,
): Promise<{ tries: number; ms: number }> {
  const began = performance.now();
  const deadline = began + check.timeout;
  const cancelled = Context.current().cancellationSignal;
  const signal = AbortSignal.any([AbortSignal.timeout(check.timeout), cancelled]);
  say('asking');
  for (let tries = 1, pauseMs = 100; ; tries += 1, pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
    const leftMs = Math.max(1, deadline - performance.now());
    const finding = await attempt(check, { migration, signal, leftMs });
    if (!finding) return { tries, ms: Math.round(performance.now() - began) };
    if (performance.now() + pauseMs >= deadline) throw doesNotHold(place, check, finding, tries);
    say(`not yet: ${finding.got}`);
    await sleep(pauseMs);
  }
}

async function attempt(check: FunctionalCheck, with_: Attempt): Promise<Finding> {
  try {
    return check.type === 'http' ? await httpFinding(check, with_) : await sqlFinding(check, with_);
  } catch (error) {
    if (error instanceof CancelledFailure || Context.current().cancellationSignal.aborted) throw error;
    // A secret that can't be read does not come by waiting; a database or address that is away may.
    if (!(error instanceof ApplicationFailure) || error.type === ErrorType.secret) throw error;
    return { expected: 'an answer', got: error.message };
  }
}

function doesNotHold(place: string, check: FunctionalCheck, { expected, got }: NonNullable<Finding>, tries: number) {
  const text = `${place} does not hold: expected ${expected}, got ${got} (${tries} tries in ${check.timeout / 1000} s)`;
  return permanent(ErrorType.hook, redact(text), {
    remedy: 'does the application work on the target? Mend it, or the check in the file; or go back to the source',
    facts: { check: checkTitle(check), expected: redact(expected), got: redact(got), tries },
  });
}
