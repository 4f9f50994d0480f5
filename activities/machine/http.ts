/** Whether a restored machine's application answers, at the machine's own new address. */
import { Context, sleep } from '@temporalio/activity';
import { httpCheck } from '../../spec/checks.ts';
import { ErrorType } from '../../spec/errors.ts';
import { fillMachine, type StepOf } from '../../spec/machine-steps.ts';
import { pollInterval } from '../aws/poll-interval.ts';
import { beat } from '../beat.ts';
import type { Attempt } from '../checks/functional-checks.ts';
import { httpFinding } from '../checks/http-check.ts';
import { permanent } from '../errors.ts';
import type { StepArgs, StepResult } from './step-args.ts';

const LONGEST_PAUSE_MS = 2_000;

/** Asks again and again until it holds. @throws cutover.Differs with what was got instead; CancelledFailure */
export async function checkMachineHttp({ step, machine }: StepArgs<StepOf<'http'>>): Promise<StepResult> {
  const url = fillMachine(step.url, machine);
  const parsed = httpCheck.safeParse({
    type: 'http',
    url,
    expectStatus: step.expectStatus,
    ...(step.expectBody === undefined ? {} : { expectBody: fillMachine(step.expectBody, machine) }),
  });
  if (!parsed.success) {
    throw permanent(ErrorType.invalid, `${step.name}: ${url} is no address`, {
      remedy: 'has the machine the address that the file names? One without a public address has none to be asked at',
    });
  }
  const cancelled = Context.current().cancellationSignal;
  const signal = AbortSignal.any([AbortSignal.timeout(step.timeout), cancelled]);
  const end = performance.now() + step.timeout;
  for (let tries = 1; ; tries += 1) {
    // An HTTP check of a machine has no databases and names no secret.
    const attempt = { migration: { aws: {} }, signal, leftMs: end - performance.now() } as unknown as Attempt;
    const finding = await httpFinding(parsed.data, attempt);
    if (!finding) return { note: `${url} answers ${step.expectStatus}`, details: { url, tries } };
    beat({ progress: { text: `${step.name}: not yet: ${finding.got}` } });
    const pause = Math.min(pollInterval(), LONGEST_PAUSE_MS);
    if (performance.now() + pause >= end) {
      throw permanent(ErrorType.differs, `${url}: expected ${finding.expected}, got ${finding.got}`, {
        remedy:
          'does the application run on the new machine, and may the worker reach its port (security groups)? Mend it and retry',
      });
    }
    await sleep(pause);
  }
}
