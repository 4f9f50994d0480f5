/** The targets of a target group, and waiting for what becomes of them. */
import { DescribeTargetHealthCommand, type TargetDescription } from '@aws-sdk/client-elastic-load-balancing-v2';
import { sleep } from '@temporalio/activity';
import { ApplicationFailure } from '@temporalio/common';
import { elbv2 } from '../aws/clients.ts';
import { awsFailure } from '../aws/failure.ts';
import type { HookContext } from './hook-context.ts';

export interface TargetHealth {
  id: string;
  port?: number;
  availabilityZone?: string;
  /** `initial`, `healthy`, `unhealthy`, `unhealthy.draining`, `unused`, `draining`, `unavailable`. */
  state: string;
  reason?: string;
}

/** Between two looks, ms. */
const LOOK_MS = 5_000;

/** @throws cutover.NotFound, cutover.Denied, cutover.Throttled, cutover.Unreachable */
export async function readTargets(targetGroup: string, { aws, signal }: HookContext): Promise<TargetHealth[]> {
  try {
    const command = new DescribeTargetHealthCommand({ TargetGroupArn: targetGroup });
    const { TargetHealthDescriptions = [] } = await elbv2(aws).send(command, { abortSignal: signal });
    return TargetHealthDescriptions.map(({ Target, TargetHealth }) => ({
      id: Target?.Id ?? '',
      state: TargetHealth?.State ?? 'unknown',
      ...(Target?.Port === undefined ? {} : { port: Target.Port }),
      ...(Target?.AvailabilityZone === undefined ? {} : { availabilityZone: Target.AvailabilityZone }),
      ...(TargetHealth?.Reason === undefined ? {} : { reason: TargetHealth.Reason }),
    }));
  } catch (error) {
    throw awsFailure(error, `DescribeTargetHealth of ${targetGroup}`);
  }
}

/** Until `done`; a hiccup is looked past: what was begun goes on, and must not be begun again. */
export async function awaitTargets(
  targetGroup: string,
  timeoutMs: number,
  context: HookContext,
  done: (targets: TargetHealth[]) => boolean,
  say: (targets: TargetHealth[]) => string,
): Promise<void> {
  for (;;) {
    try {
      const targets = await readTargets(targetGroup, context);
      if (done(targets)) return;
      context.say(say(targets));
    } catch (error) {
      if (context.signal.aborted || !(error instanceof ApplicationFailure) || error.nonRetryable) throw error;
      context.say(error.message);
    }
    await sleep(Math.min(LOOK_MS, timeoutMs / 20));
    context.signal.throwIfAborted();
  }
}

/** Leaves on its way out: registered no more, though it is listed. */
export const isLeaving = ({ state }: TargetHealth) => state === 'draining' || state === 'unhealthy.draining';

export function asTarget({ id, port, availabilityZone }: Omit<TargetHealth, 'state' | 'reason'>): TargetDescription {
  return {
    Id: id,
    ...(port === undefined ? {} : { Port: port }),
    ...(availabilityZone === undefined ? {} : { AvailabilityZone: availabilityZone }),
  };
}
