/** Until AWS's own checks of a machine are good, and SSM reaches it. */
import { DescribeInstanceStatusCommand, type InstanceStatus } from '@aws-sdk/client-ec2';
import { ErrorType } from '../../spec/errors.ts';
import { ec2 } from '../aws/clients.ts';
import { awsFailure, isCode } from '../aws/failure.ts';
import { pollInterval } from '../aws/poll-interval.ts';
import { checkState } from '../ec2/status-table.ts';
import type { Ours } from '../ec2/tags.ts';
import { waitedMs } from '../ec2/wait.ts';
import { permanent } from '../errors.ts';
import { readAgent, type AgentReading } from '../ssm/agent.ts';
import { waitUntil } from '../wait-until.ts';

interface AwaitArgs {
  ours: Ours;
  instanceId: string;
  timeoutMs: number;
}

/**
 * @throws cutover.ServiceFailed where a check is impaired, with what AWS says of it; cutover.Deadline; cutover.Denied,
 *   cutover.Throttled, cutover.Unreachable; CancelledFailure
 */
export async function awaitMachineChecks({ ours, instanceId, timeoutMs }: AwaitArgs): Promise<{ note: string }> {
  const status = await waitUntil<InstanceStatus | undefined>({
    intervalMs: pollInterval(),
    read: async () => {
      const found = await readStatus(ours, instanceId);
      if (meaningOf(found) === 'ask') {
        throw permanent(ErrorType.serviceFailed, `${instanceId} is impaired: ${shown(found)}`, {
          remedy: `its console tells more: aws ec2 get-console-output --instance-id ${instanceId}. Retry to look again, or abort: it is terminated`,
        });
      }
      if (meaningOf(found) !== 'ok' && waitedMs() > timeoutMs) {
        throw permanent(
          ErrorType.deadline,
          `the checks of ${instanceId} are not good after ${timeoutMs / 1000} s: ${shown(found)}`,
          {
            remedy: 'retry the step to wait on',
          },
        );
      }
      return found;
    },
    done: (found) => meaningOf(found) === 'ok',
    progress: (found) => ({ text: `${instanceId}: ${shown(found)}` }),
  });
  return { note: shown(status) };
}

async function readStatus({ aws }: Ours, instanceId: string): Promise<InstanceStatus | undefined> {
  try {
    const { InstanceStatuses = [] } = await ec2(aws).send(
      new DescribeInstanceStatusCommand({ InstanceIds: [instanceId], IncludeAllInstances: true }),
    );
    return InstanceStatuses[0];
  } catch (error) {
    if (isCode(error, 'InvalidInstanceID.NotFound')) return undefined;
    throw awsFailure(error, `DescribeInstanceStatus ${instanceId}`);
  }
}

/** The worst of its checks. Volumes are told of by newer machines only. */
function meaningOf(status: InstanceStatus | undefined): 'ok' | 'pending' | 'ask' {
  const all = [status?.SystemStatus?.Status, status?.InstanceStatus?.Status].map(
    (text) => checkState('a check', text).meaning,
  );
  const volumes = checkState('a check', status?.AttachedEbsStatus?.Status ?? 'ok').meaning;
  if ([...all, volumes].includes('ask')) return 'ask';
  return all.every((meaning) => meaning === 'ok') ? 'ok' : 'pending';
}

function shown(status: InstanceStatus | undefined): string {
  if (!status) return 'not visible yet';
  const part = (name: string, check: InstanceStatus['SystemStatus']) => {
    const details = (check?.Details ?? [])
      .map(({ Name, Status, ImpairedSince }) =>
        [Name, Status, ImpairedSince ? `since ${ImpairedSince.toISOString()}` : ''].filter(Boolean).join(' '),
      )
      .join(', ');
    return `${name} ${check?.Status ?? 'not known'}${details ? ` (${details})` : ''}`;
  };
  const events = (status.Events ?? []).map(({ Code, Description }) => `${Code}: ${Description}`);
  return [part('system', status.SystemStatus), part('instance', status.InstanceStatus), ...events].join('; ');
}

/** @throws cutover.Deadline; cutover.Denied, cutover.Throttled, cutover.Unreachable; CancelledFailure */
export async function awaitMachineAgent({ ours, instanceId, timeoutMs }: AwaitArgs): Promise<AgentReading> {
  return waitUntil<AgentReading>({
    intervalMs: pollInterval(),
    read: async () => {
      const agent = await readAgent(instanceId, ours.aws);
      if (!agent.online && waitedMs() > timeoutMs) {
        throw permanent(
          ErrorType.deadline,
          `SSM does not reach ${instanceId} after ${timeoutMs / 1000} s: ${agent.status}`,
          {
            remedy:
              'amazon-ssm-agent has to be in the image, the machine needs a profile with AmazonSSMManagedInstanceCore, and its network SSM’s endpoints; then retry',
          },
        );
      }
      return agent;
    },
    done: ({ online }) => online,
    progress: ({ status }) => ({ text: `the SSM agent of ${instanceId} is ${status}` }),
  });
}
