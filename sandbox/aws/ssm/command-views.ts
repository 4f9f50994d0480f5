import type { Command, CommandInvocation, GetCommandInvocationResult } from '@aws-sdk/client-ssm';
import type { Cloud } from '../cloud.ts';
import { outputKey } from './invocation.ts';
import type { CommandState, InvocationState, InvocationStatus } from './state.ts';

const PLUGIN = 'aws:runShellScript';
/** ListCommandInvocations shows less than GetCommandInvocation. */
const MOST_IN_LIST = 2_500;
const OVER: ReadonlySet<InvocationStatus> = new Set(['Success', 'Cancelled', 'TimedOut', 'Failed']);

/** A command's status is that of its machines together: the worst that it came to once all have ended. */
export function commandView(cloud: Cloud, command: CommandState): Command {
  const invocations = Object.values(command.invocations);
  const { status, details } = together(invocations);
  const ended = invocations.filter((each) => OVER.has(each.status));
  return {
    CommandId: command.id,
    DocumentName: command.document,
    DocumentVersion: '$DEFAULT',
    Comment: command.comment,
    ExpiresAfter: new Date(
      Date.parse(command.requestedAt) + (command.timeoutSeconds + command.executionTimeout) * 1_000,
    ),
    Parameters: command.parameters,
    InstanceIds: command.instanceIds,
    Targets: [],
    RequestedDateTime: new Date(command.requestedAt),
    // A whole command is never `Delayed`.
    Status: status === 'Delayed' ? 'InProgress' : status,
    StatusDetails: details,
    OutputS3Region: cloud.region,
    OutputS3BucketName: command.bucket ?? '',
    OutputS3KeyPrefix: command.prefix ?? '',
    MaxConcurrency: '50',
    MaxErrors: '0',
    TargetCount: invocations.length,
    CompletedCount: ended.length,
    ErrorCount: ended.filter((each) => each.status === 'Failed' || each.details === 'Execution Timed Out').length,
    DeliveryTimedOutCount: ended.filter((each) => each.details === 'Delivery Timed Out').length,
    ServiceRole: '',
    TimeoutSeconds: command.timeoutSeconds,
    CloudWatchOutputConfig: logsView(command),
  };
}

function together(invocations: readonly InvocationState[]): { status: InvocationStatus; details: string } {
  const worst: readonly InvocationStatus[] = [
    'InProgress',
    'Cancelling',
    'Pending',
    'Failed',
    'TimedOut',
    'Cancelled',
    'Success',
  ];
  const found = worst.map((status) => invocations.find((each) => each.status === status)).find((each) => each);
  return found ?? { status: 'Success', details: 'Success' };
}

export function invocationView(
  cloud: Cloud,
  command: CommandState,
  invocation: InvocationState,
): GetCommandInvocationResult {
  const { startedAt, endedAt } = invocation;
  const elapsed =
    startedAt === undefined || endedAt === undefined ? undefined : Date.parse(endedAt) - Date.parse(startedAt);
  return {
    CommandId: command.id,
    InstanceId: invocation.instanceId,
    Comment: command.comment,
    DocumentName: command.document,
    DocumentVersion: '$DEFAULT',
    PluginName: PLUGIN,
    ResponseCode: invocation.code,
    // Texts here, unlike the other dates of this service.
    ExecutionStartDateTime: startedAt ?? '',
    ExecutionElapsedTime: elapsed === undefined ? '' : `PT${elapsed / 1_000}S`,
    ExecutionEndDateTime: startedAt === undefined ? '' : (endedAt ?? ''),
    Status: invocation.status,
    StatusDetails: invocation.details,
    StandardOutputContent: invocation.stdout,
    StandardOutputUrl: url(cloud, command, invocation, 'stdout'),
    StandardErrorContent: invocation.stderr,
    StandardErrorUrl: url(cloud, command, invocation, 'stderr'),
    CloudWatchOutputConfig: logsView(command),
  };
}

export function listedInvocation(
  cloud: Cloud,
  command: CommandState,
  invocation: InvocationState,
  details: boolean,
): CommandInvocation {
  const { startedAt, endedAt } = invocation;
  const shared = {
    Status: invocation.status,
    StatusDetails: invocation.details,
    StandardOutputUrl: url(cloud, command, invocation, 'stdout'),
    StandardErrorUrl: url(cloud, command, invocation, 'stderr'),
  };
  const plugin = {
    Name: PLUGIN,
    ...shared,
    ResponseCode: invocation.code,
    ...(startedAt === undefined ? {} : { ResponseStartDateTime: new Date(startedAt) }),
    ...(endedAt === undefined ? {} : { ResponseFinishDateTime: new Date(endedAt) }),
    Output:
      `${invocation.stdout}${invocation.stderr === '' ? '' : `\n----------ERROR-------\n${invocation.stderr}`}`.slice(
        0,
        MOST_IN_LIST,
      ),
  };
  return {
    CommandId: command.id,
    InstanceId: invocation.instanceId,
    InstanceName: cloud.store.state.ec2.instances[invocation.instanceId]?.tags['Name'] ?? '',
    Comment: command.comment,
    DocumentName: command.document,
    DocumentVersion: '$DEFAULT',
    RequestedDateTime: new Date(command.requestedAt),
    ...shared,
    CommandPlugins: details ? [plugin as NonNullable<CommandInvocation['CommandPlugins']>[number]] : [],
    ServiceRole: '',
    CloudWatchOutputConfig: logsView(command),
  };
}

function url(cloud: Cloud, command: CommandState, { instanceId }: InvocationState, name: 'stdout' | 'stderr'): string {
  if (command.bucket === undefined) return '';
  return `https://s3.${cloud.region}.amazonaws.com/${command.bucket}/${outputKey(command, instanceId, name)}`;
}

function logsView({ cloudWatch }: CommandState): { CloudWatchLogGroupName: string; CloudWatchOutputEnabled: boolean } {
  return { CloudWatchLogGroupName: cloudWatch?.group ?? '', CloudWatchOutputEnabled: cloudWatch?.enabled ?? false };
}
