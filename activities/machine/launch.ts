/** A new machine from an image: started once, and waited for until it runs. */
import { createHash } from 'node:crypto';
import { RunInstancesCommand, type Instance, type RunInstancesCommandInput } from '@aws-sdk/client-ec2';
import { ErrorType } from '../../spec/errors.ts';
import type { MachineRestore } from '../../spec/kind-machine-restore.ts';
import { ec2 } from '../aws/clients.ts';
import { awsFailure, isCode } from '../aws/failure.ts';
import { NOT_YET_VISIBLE_MS } from '../aws/not-yet-visible.ts';
import { pollInterval } from '../aws/poll-interval.ts';
import { describeInstance, describeInstances } from '../ec2/instance.ts';
import { instanceState } from '../ec2/status-table.ts';
import { isOurs, oursFilters, oursTags, TAG, tagList, type Ours } from '../ec2/tags.ts';
import { waitedMs } from '../ec2/wait.ts';
import { permanent, transient } from '../errors.ts';
import { waitUntil } from '../wait-until.ts';
import type { Chosen } from './choose-backup.ts';

export interface LaunchArgs {
  ours: Ours;
  chosen: Chosen;
  /** Of the step: an operator's retry after the machine died starts another one. */
  attempt: number;
  migration: Pick<MachineRestore, 'id' | 'instance' | 'drill' | 'timeouts'>;
}

/** The machine that this run has made. */
export interface Launched {
  instanceId: string;
  privateIp: string;
  publicIp?: string;
}

/**
 * Starts the machine, or adopts the one that this run has started already. RunInstances has a client token: sent again it
 * answers with the same machine (facts/redis-aws 3.5).
 * @throws cutover.Invalid, cutover.NotFound (image, subnet, group, key), cutover.Busy where AWS has no capacity now,
 *   cutover.Denied, cutover.Throttled, cutover.Unreachable
 */
export async function launchMachine(args: LaunchArgs): Promise<{ instanceId: string; adopted: boolean }> {
  const { ours, chosen } = args;
  const [living] = await ourMachines(ours);
  if (living?.InstanceId) return { instanceId: living.InstanceId, adopted: true };
  try {
    const { Instances = [] } = await ec2(ours.aws).send(new RunInstancesCommand(runInstancesInput(args)));
    const id = Instances[0]?.InstanceId;
    if (!id) throw transient(ErrorType.unreachable, 'RunInstances: the answer is not EC2’s');
    return { instanceId: id, adopted: false };
  } catch (error) {
    throw launchFailure(error, `RunInstances from ${chosen.imageId}`);
  }
}

/** Those of this run that are not on their way out. By both tags: another run's is another's. */
async function ourMachines(ours: Ours): Promise<Instance[]> {
  const found = await describeInstances(oursFilters(ours), ours.aws);
  return found.filter(
    ({ State, Tags }) => !['terminated', 'shutting-down'].includes(State?.Name ?? '') && isOurs(ours, Tags),
  );
}

/** What the machine is asked for with. @throws cutover.Invalid where its type is not known */
export function runInstancesInput({ ours, chosen, attempt, migration }: LaunchArgs): RunInstancesCommandInput {
  const { type, subnet, securityGroups, key, profile } = chosen.settings;
  if (type === undefined) {
    throw permanent(ErrorType.invalid, `the type of the machine behind ${chosen.imageId} is not known`, {
      remedy: 'name it in the file: instance: { type: … }; the backup has no tag of it and its machine is gone',
    });
  }
  const tags = {
    Name: migration.drill ? `${migration.id} (drill)` : migration.id,
    ...migration.instance.tags,
    ...oursTags(ours),
    [TAG.restoredFrom]: chosen.imageId,
    [TAG.purpose]: migration.drill ? 'drill' : 'restore',
  };
  const digest = createHash('sha256').update(`${ours.migrationId} ${ours.run} ${attempt}`).digest('hex');
  return {
    ImageId: chosen.imageId,
    MinCount: 1,
    MaxCount: 1,
    ClientToken: `cutover-${digest.slice(0, 40)}`,
    InstanceType: type as NonNullable<RunInstancesCommandInput['InstanceType']>,
    ...(subnet === undefined ? {} : { SubnetId: subnet }),
    ...(securityGroups === undefined || securityGroups.length === 0 ? {} : { SecurityGroupIds: securityGroups }),
    ...(key === undefined ? {} : { KeyName: key }),
    ...(profile === undefined ? {} : { IamInstanceProfile: { Name: profile } }),
    ...(migration.instance.privateIp === undefined ? {} : { PrivateIpAddress: migration.instance.privateIp }),
    TagSpecifications: [
      { ResourceType: 'instance', Tags: tagList(tags) },
      { ResourceType: 'volume', Tags: tagList(tags) },
    ],
  };
}

function launchFailure(error: unknown, what: string): Error {
  if (isCode(error, 'IdempotentParameterMismatch')) {
    return permanent(ErrorType.invalid, `${what}: it was asked for before with other settings`, {
      remedy: 'retry the step: it is asked for anew',
    });
  }
  if (isCode(error, 'InsufficientInstanceCapacity')) {
    return transient(ErrorType.busy, `${what}: AWS has no machine of this type free there now`, {
      remedy: 'wait, or name another type or subnet in the file',
      afterMs: 30_000,
    });
  }
  if (isCode(error, 'InvalidIPAddress.InUse')) {
    return permanent(ErrorType.invalid, `${what}: the private address is in use`, {
      remedy: 'the old machine has it as long as it is there: leave instance.privateIp out, or terminate it first',
    });
  }
  return awsFailure(error, what);
}

/**
 * Until it runs and has its addresses.
 * @throws cutover.ServiceFailed with AWS's reason where it ended instead (a KMS key that can't be used shows so);
 *   cutover.Deadline; cutover.Denied, cutover.Throttled, cutover.Unreachable; CancelledFailure
 */
export async function awaitMachineRunning(
  args: Pick<LaunchArgs, 'ours' | 'migration'> & { instanceId: string },
): Promise<Launched> {
  const { ours, instanceId, migration } = args;
  const limit = migration.timeouts.launch;
  const instance = await waitUntil<Instance | undefined>({
    intervalMs: pollInterval(),
    read: async () => {
      const found = await describeInstance(instanceId, ours.aws);
      if (!found && waitedMs() > NOT_YET_VISIBLE_MS) {
        throw permanent(ErrorType.serviceFailed, `${instanceId}: AWS does not know it (any more)`, {
          remedy: 'retry the step to start another one',
        });
      }
      const state = found?.State?.Name;
      const { meaning } = instanceState(instanceId, state);
      if (found && (meaning === 'failed' || meaning === 'ask')) {
        const { Code, Message } = found.StateReason ?? {};
        throw permanent(
          ErrorType.serviceFailed,
          `${instanceId} is ${state}: ${[Code, Message].filter(Boolean).join(' ') || 'AWS gives no reason'}`,
          {
            remedy:
              meaning === 'ask'
                ? `somebody stopped it: start it (aws ec2 start-instances --instance-ids ${instanceId}) and retry, or abort`
                : 'a KMS key that may not be used, or a volume that is missing, ends a machine like this; retry starts another one',
          },
        );
      }
      if (!isUp(found) && waitedMs() > limit) {
        throw permanent(ErrorType.deadline, `${instanceId} is ${state ?? 'not visible'} after ${limit / 1000} s`, {
          remedy: 'retry the step to wait on',
        });
      }
      return found;
    },
    done: isUp,
    progress: (found) => ({ text: `${instanceId} is ${found?.State?.Name ?? 'not visible yet'}` }),
  });
  return {
    instanceId,
    privateIp: instance!.PrivateIpAddress!,
    ...(instance!.PublicIpAddress ? { publicIp: instance!.PublicIpAddress } : {}),
  };
}

function isUp(instance: Instance | undefined): boolean {
  return instanceState('', instance?.State?.Name).meaning === 'ok' && instance?.PrivateIpAddress !== undefined;
}
