/** A listener's or rule's traffic sent to another target group. It is switched when the new targets are healthy. */
import {
  DescribeListenersCommand,
  DescribeRulesCommand,
  ModifyListenerCommand,
  ModifyRuleCommand,
  type Action,
} from '@aws-sdk/client-elastic-load-balancing-v2';
import type { z } from 'zod';
import { ErrorType } from '../../spec/errors.ts';
import { targetGroupName, type elbListenerHook } from '../../spec/hooks.ts';
import { elbv2 } from '../aws/clients.ts';
import { awsFailure } from '../aws/failure.ts';
import { permanent } from '../errors.ts';
import type { HookContext } from './hook-context.ts';
import { awaitTargets, isLeaving, readTargets, type TargetHealth } from './target-health.ts';

type ListenerHook = z.output<typeof elbListenerHook>;

/** The actions as they were; ELB never answers a secret of theirs. */
export interface ElbListenerUndo {
  type: 'elb-listener';
  actions: Action[];
}

/** @throws cutover.NotFound (listener, rule, target group), cutover.Denied, cutover.Throttled, cutover.Unreachable */
export async function captureActions(hook: ListenerHook, context: HookContext): Promise<ElbListenerUndo> {
  const targets = await readTargets(hook.targetGroup, context);
  if (targets.length === 0) {
    throw permanent(ErrorType.hook, `the target group ${targetGroupName(hook.targetGroup)} has no targets`, {
      remedy: 'register the new targets (deploy the service) first, or nobody would answer after the switch',
    });
  }
  return { type: 'elb-listener', actions: await read(hook, context) };
}

/** Forwards to the hook's target group and waits until its targets are healthy. Safe to run twice. */
export async function runListener(hook: ListenerHook, context: HookContext): Promise<void> {
  const { targetGroup } = hook;
  // Targets of a group that no listener uses yet are `unused`, and can't be told healthy before the switch.
  const before = await readTargets(targetGroup, context);
  if (!before.some(({ state }) => state === 'unused')) await healthy(hook, context);
  const actions = await read(hook, context);
  if (forwardsTo(actions) !== key([targetGroup])) {
    const forward: Action = { Type: 'forward', TargetGroupArn: targetGroup };
    const others = actions.filter(({ Type }) => Type !== 'forward' && !ENDS.has(Type ?? ''));
    const order = Math.max(0, ...others.map(({ Order = 0 }) => Order)) + 1;
    await write(hook, [...others, others.length > 0 ? { ...forward, Order: order } : forward], context);
  }
  await healthy(hook, context);
}

/**
 * Puts the former actions back. Safe to run twice.
 * @throws cutover.Hook where it goes neither to our target group nor where it went before: somebody has changed it since
 */
export async function undoListener(hook: ListenerHook, undo: ElbListenerUndo, context: HookContext): Promise<void> {
  const now = await read(hook, context);
  if (forwardsTo(now) === forwardsTo(undo.actions)) return;
  if (forwardsTo(now) !== key([hook.targetGroup])) {
    throw permanent(ErrorType.hook, `${resource(hook)} was changed by somebody else since; it is left as it is`, {
      remedy: `decide where it is to go: it went to ${forwardsTo(undo.actions)} before the switch`,
    });
  }
  await write(hook, undo.actions, context);
}

/** Actions that end a request, one of which stands in forward's place: a maintenance page, a redirect. */
const ENDS = new Set(['fixed-response', 'redirect']);

async function healthy(hook: ListenerHook, context: HookContext): Promise<void> {
  const name = targetGroupName(hook.targetGroup);
  const well = (targets: TargetHealth[]) => targets.filter(({ state }) => state === 'healthy').length;
  const staying = (targets: TargetHealth[]) => targets.filter((target) => !isLeaving(target));
  await awaitTargets(
    hook.targetGroup,
    hook.timeout,
    context,
    (targets) => well(targets) > 0 && well(targets) >= (hook.healthy ?? staying(targets).length),
    (targets) => {
      const ill = targets.find(({ state }) => state !== 'healthy');
      const why = ill ? ` (${ill.id} is ${ill.state}${ill.reason ? `, ${ill.reason}` : ''})` : '';
      return `${well(targets)} of ${staying(targets).length} targets of ${name} are healthy${why}`;
    },
  );
}

async function read(hook: ListenerHook, { aws, signal }: HookContext): Promise<Action[]> {
  let actions: Action[] | undefined;
  try {
    if (hook.rule === undefined) {
      const command = new DescribeListenersCommand({ ListenerArns: [hook.listener ?? ''] });
      actions = (await elbv2(aws).send(command, { abortSignal: signal })).Listeners?.[0]?.DefaultActions;
    } else {
      const command = new DescribeRulesCommand({ RuleArns: [hook.rule] });
      actions = (await elbv2(aws).send(command, { abortSignal: signal })).Rules?.[0]?.Actions;
    }
  } catch (error) {
    throw awsFailure(error, `describing ${resource(hook)}`);
  }
  if (actions) return actions.map(withoutSecret);
  throw permanent(ErrorType.notFound, `there is no ${resource(hook)}`, { remedy: 'check its ARN and the region' });
}

async function write(hook: ListenerHook, actions: Action[], { aws, signal }: HookContext): Promise<void> {
  try {
    const command =
      hook.rule === undefined
        ? new ModifyListenerCommand({ ListenerArn: hook.listener, DefaultActions: actions })
        : new ModifyRuleCommand({ RuleArn: hook.rule, Actions: actions });
    await (command instanceof ModifyListenerCommand
      ? elbv2(aws).send(command, { abortSignal: signal })
      : elbv2(aws).send(command, { abortSignal: signal }));
  } catch (error) {
    throw awsFailure(error, `modifying ${resource(hook)}`);
  }
}

/** ELB keeps a client's secret to itself, and has to be told to go on with the one that it has. */
function withoutSecret(action: Action): Action {
  if (!action.AuthenticateOidcConfig) return action;
  const { ClientSecret: _never, ...config } = action.AuthenticateOidcConfig;
  return { ...action, AuthenticateOidcConfig: { ...config, UseExistingClientSecret: true } };
}

/** Where the traffic goes, in a form that compares: target groups with their weights. */
function forwardsTo(actions: Action[]): string {
  const forward = actions.find(({ Type }) => Type === 'forward');
  if (!forward) return actions.map(({ Type }) => Type).join(', ') || 'nowhere';
  const groups = forward.ForwardConfig?.TargetGroups ?? [];
  if (groups.length > 1) {
    return key(groups.map(({ TargetGroupArn = '', Weight = 1 }) => `${TargetGroupArn} (weight ${Weight})`));
  }
  return key([forward.TargetGroupArn ?? groups[0]?.TargetGroupArn ?? '']);
}

const key = (arns: string[]) => [...arns].sort().join(', ');
const resource = (hook: ListenerHook) =>
  hook.rule === undefined ? `listener ${hook.listener}` : `listener rule ${hook.rule}`;
