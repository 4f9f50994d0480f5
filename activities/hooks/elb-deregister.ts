/** Targets taken out of a target group: the old machines, once nothing may reach them any more. */
import { DeregisterTargetsCommand, RegisterTargetsCommand } from '@aws-sdk/client-elastic-load-balancing-v2';
import type { z } from 'zod';
import { ErrorType } from '../../spec/errors.ts';
import { targetGroupName, type elbDeregisterHook } from '../../spec/hooks.ts';
import { elbv2 } from '../aws/clients.ts';
import { awsFailure } from '../aws/failure.ts';
import { permanent } from '../errors.ts';
import type { HookContext } from './hook-context.ts';
import { asTarget, awaitTargets, isLeaving, readTargets, type TargetHealth } from './target-health.ts';

type DeregisterHook = z.output<typeof elbDeregisterHook>;

/** Who was registered. */
export interface ElbDeregisterUndo {
  type: 'elb-deregister';
  targets: { id: string; port?: number; availabilityZone?: string }[];
}

/**
 * @throws cutover.Hook where a target of the file is not registered; cutover.NotFound, cutover.Denied, cutover.Throttled
 */
export async function captureTargets(hook: DeregisterHook, context: HookContext): Promise<ElbDeregisterUndo> {
  const registered = (await readTargets(hook.targetGroup, context)).filter((target) => !isLeaving(target));
  const name = targetGroupName(hook.targetGroup);
  for (const wanted of hook.targets ?? []) {
    if (registered.some((target) => isSame(wanted, target))) continue;
    throw permanent(ErrorType.hook, `${wanted.id}${wanted.port ? `:${wanted.port}` : ''} is no target of ${name}`, {
      remedy: `see those that are: aws elbv2 describe-target-health --target-group-arn ${hook.targetGroup}`,
    });
  }
  const chosen = registered.filter((target) => !hook.targets || hook.targets.some((wanted) => isSame(wanted, target)));
  return { type: 'elb-deregister', targets: chosen.map(({ state: _state, reason: _reason, ...target }) => target) };
}

/** Deregisters what was there when it was looked up, and waits until its connections are drained. Safe to run twice. */
export async function runDeregister(
  hook: DeregisterHook,
  { targets }: ElbDeregisterUndo,
  context: HookContext,
): Promise<void> {
  const registered = (await readTargets(hook.targetGroup, context)).filter((target) => !isLeaving(target));
  const still = targets.filter((ours) => registered.some((target) => isSame(ours, target)));
  if (still.length > 0) {
    try {
      const command = new DeregisterTargetsCommand({ TargetGroupArn: hook.targetGroup, Targets: still.map(asTarget) });
      await elbv2(context.aws).send(command, { abortSignal: context.signal });
    } catch (error) {
      throw awsFailure(error, `DeregisterTargets of ${targetGroupName(hook.targetGroup)}`);
    }
  }
  const left = (now: TargetHealth[]) => now.filter((target) => targets.some((ours) => isSame(ours, target)));
  await awaitTargets(
    hook.targetGroup,
    hook.timeout,
    context,
    // A target that is out is not listed, or `unused` as one that never was in.
    (now) => left(now).every(({ state }) => state === 'unused'),
    (now) => `${left(now).length} targets are draining`,
  );
}

/** Registers them again. Safe to run twice; whether they are healthy by then is the load balancer's matter. */
export async function undoDeregister(
  hook: DeregisterHook,
  { targets }: ElbDeregisterUndo,
  context: HookContext,
): Promise<void> {
  if (targets.length === 0) return;
  try {
    const command = new RegisterTargetsCommand({ TargetGroupArn: hook.targetGroup, Targets: targets.map(asTarget) });
    await elbv2(context.aws).send(command, { abortSignal: context.signal });
  } catch (error) {
    throw awsFailure(error, `RegisterTargets of ${targetGroupName(hook.targetGroup)}`);
  }
}

/** A target without a port means that of its target group. */
function isSame(wanted: { id: string; port?: number | undefined }, target: { id: string; port?: number }): boolean {
  return wanted.id === target.id && (wanted.port === undefined || wanted.port === target.port);
}
