/** An ECS service deployed anew, and waited for: a service is switched when its old tasks are gone, not before. */
import { DescribeServicesCommand, UpdateServiceCommand, type Deployment, type Service } from '@aws-sdk/client-ecs';
import { sleep } from '@temporalio/activity';
import type { z } from 'zod';
import { ErrorType } from '../../spec/errors.ts';
import type { ecsServiceHook } from '../../spec/hooks.ts';
import { ecs } from '../aws/clients.ts';
import { awsFailure } from '../aws/failure.ts';
import { permanent } from '../errors.ts';
import type { HookContext } from './hook-context.ts';

type EcsHook = z.output<typeof ecsServiceHook>;

/** What the service ran before. */
export interface EcsUndo {
  type: 'ecs-service';
  taskDefinition: string;
  desiredCount: number;
}

/** Between two looks, ms; a rollout takes minutes, and DescribeServices is throttled for the whole account. */
const LOOK_MS = 5_000;

/** @throws cutover.NotFound, cutover.Denied, cutover.Hook where it is not ACTIVE, cutover.Throttled, cutover.Unreachable */
export async function captureService(hook: EcsHook, context: HookContext): Promise<EcsUndo> {
  const service = await describe(hook, context);
  if (service.status !== 'ACTIVE') throw notActive(hook, service);
  return {
    type: 'ecs-service',
    taskDefinition: service.taskDefinition ?? '',
    desiredCount: service.desiredCount ?? 0,
  };
}

/**
 * Deploys the service and waits until it runs nothing else. Run twice, it deploys twice.
 * @throws cutover.Hook with the service's own reason where the rollout fails or another one takes its place
 */
export async function runService(hook: EcsHook, context: HookContext): Promise<void> {
  await deploy(hook, { taskDefinition: hook.taskDefinition, desiredCount: hook.desiredCount }, context);
}

/** Puts the former task definition back, and the former count where the hook had set one. @throws as runService */
export async function undoService(hook: EcsHook, undo: EcsUndo, context: HookContext): Promise<void> {
  // A count that the hook did not touch is auto scaling's, which may have changed it since.
  const desiredCount = hook.desiredCount === undefined ? undefined : undo.desiredCount;
  await deploy(hook, { taskDefinition: undo.taskDefinition, desiredCount }, context);
}

interface Wanted {
  taskDefinition: string | undefined;
  desiredCount: number | undefined;
}

async function deploy(hook: EcsHook, wanted: Wanted, context: HookContext): Promise<void> {
  const { cluster, service: name } = hook;
  let updated: Service | undefined;
  try {
    const command = new UpdateServiceCommand({
      cluster,
      service: name,
      // New tasks even for the same definition: they must read the endpoint again.
      forceNewDeployment: true,
      ...(wanted.taskDefinition === undefined ? {} : { taskDefinition: wanted.taskDefinition }),
      ...(wanted.desiredCount === undefined ? {} : { desiredCount: wanted.desiredCount }),
    });
    updated = (await ecs(context.aws).send(command, { abortSignal: context.signal })).service;
  } catch (error) {
    throw awsFailure(error, `UpdateService ${cluster}/${name}`);
  }
  const ours = primaryOf(updated)?.id;
  if (ours === undefined) {
    throw permanent(ErrorType.hook, `UpdateService ${cluster}/${name}: the answer names no deployment`, {
      remedy:
        'only services with the ECS deployment controller can be deployed by a hook; use a command hook for others',
    });
  }
  await rolledOut(hook, ours, context);
}

async function rolledOut(hook: EcsHook, ours: string, context: HookContext): Promise<void> {
  const lookMs = Math.min(LOOK_MS, hook.timeout / 20);
  for (;;) {
    const service = await waitable(hook, context);
    if (service) {
      if (service.status !== 'ACTIVE') throw notActive(hook, service);
      const deployment = service.deployments?.find(({ id }) => id === ours);
      const primary = primaryOf(service);
      if (deployment?.rolloutState === 'FAILED') {
        throw rolloutFailed(hook, service, `its rollout failed: ${deployment.rolloutStateReason ?? 'no reason given'}`);
      }
      // A rollback by ECS's circuit breaker, or somebody else's deployment: either way ours is not what runs.
      if (primary && primary.id !== ours)
        throw rolloutFailed(hook, service, `deployment ${primary.id} has replaced it`);
      if (deployment && isStable(service, deployment)) return;
      context.say(progressOf(service, deployment));
    }
    await sleep(lookMs);
    context.signal.throwIfAborted();
  }
}

function isStable(service: Service, ours: Deployment): boolean {
  const wanted = service.desiredCount ?? 0;
  return (
    service.deployments?.length === 1 &&
    ours.status === 'PRIMARY' &&
    // Missing with other deployment controllers; the counts have to do then.
    (ours.rolloutState === undefined || ours.rolloutState === 'COMPLETED') &&
    service.runningCount === wanted &&
    ours.runningCount === wanted &&
    (service.pendingCount ?? 0) === 0
  );
}

function progressOf(service: Service, ours: Deployment | undefined): string {
  const others = (service.deployments?.length ?? 1) - 1;
  const old = others > 0 ? `, ${others} older deployment(s) still there` : '';
  return `deploying, ${ours?.runningCount ?? 0} of ${service.desiredCount ?? 0} tasks run${old}`;
}

/** Undefined for a hiccup: the deployment goes on whether it is looked at or not, and must not be started again. */
async function waitable(hook: EcsHook, context: HookContext): Promise<Service | undefined> {
  try {
    return await describe(hook, context);
  } catch (error) {
    if (
      context.signal.aborted ||
      !(error instanceof Error) ||
      !('nonRetryable' in error) ||
      error.nonRetryable === true
    ) {
      throw error;
    }
    context.say(`deploying; ${error.message}`);
    return undefined;
  }
}

async function describe(hook: EcsHook, { aws, signal }: HookContext): Promise<Service> {
  const { cluster, service: name } = hook;
  let found: Service | undefined;
  try {
    const command = new DescribeServicesCommand({ cluster, services: [name] });
    found = (await ecs(aws).send(command, { abortSignal: signal })).services?.[0];
  } catch (error) {
    throw awsFailure(error, `DescribeServices ${cluster}/${name}`);
  }
  if (found) return found;
  throw permanent(ErrorType.notFound, `there is no ECS service ${name} in the cluster ${cluster}`, {
    remedy: `check the names: aws ecs list-services --cluster ${cluster}`,
  });
}

function primaryOf(service: Service | undefined): Deployment | undefined {
  return service?.deployments?.find(({ status }) => status === 'PRIMARY');
}

function notActive(hook: EcsHook, service: Service): Error {
  return permanent(
    ErrorType.hook,
    `the ECS service ${hook.service} is ${service.status ?? 'in no known state'}, not ACTIVE`,
  );
}

function rolloutFailed(hook: EcsHook, service: Service, why: string): Error {
  const said = (service.events ?? []).slice(0, 2).map((event) => event.message ?? '');
  return permanent(
    ErrorType.hook,
    `ECS service ${hook.service}: ${why}${said.length > 0 ? ` (${said.join(' | ')})` : ''}`,
    {
      remedy: `see its stopped tasks: aws ecs list-tasks --cluster ${hook.cluster} --service-name ${hook.service} --desired-status STOPPED`,
    },
  );
}
