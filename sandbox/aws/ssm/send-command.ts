import type { Command } from '@aws-sdk/client-ssm';
import { randomUUID } from 'node:crypto';
import type { Cloud } from '../cloud.ts';
import { machinesOf } from '../ec2/machines.ts';
import { AwsFault } from '../faults.ts';
import { pingOf } from './agents.ts';
import { commandView } from './command-views.ts';
import type { Input } from './inputs.ts';
import { carryOut } from './invocation.ts';
import type { CommandState } from './state.ts';

const DOCUMENT = 'AWS-RunShellScript';
const PARAMETERS = ['commands', 'workingDirectory', 'executionTimeout'];
/** AWS-RunShellScript's bounds. */
const LONGEST_SECONDS = 172_800;

/** @throws AwsFault InvalidDocument, InvalidParameters, InvalidInstanceId; SandboxFailure where a machine has no processes */
export function sendCommand(cloud: Cloud, input: Input<'SendCommand'>): { Command: Command } {
  if (input.DocumentName !== DOCUMENT) {
    throw new AwsFault(
      'InvalidDocument',
      `Document ${input.DocumentName} does not exist in your account (the sandbox has ${DOCUMENT}).`,
    );
  }
  const instanceIds = [...new Set(input.InstanceIds)];
  if (instanceIds.length === 0) {
    throw new AwsFault(
      'ValidationException',
      'The sandbox sends commands by InstanceIds, of which there must be one at least.',
    );
  }
  const executionTimeout = checkParameters(input.Parameters);
  const unfit = instanceIds.filter((id) => !isManaged(cloud, id));
  if (unfit.length > 0) {
    throw new AwsFault(
      'InvalidInstanceId',
      `Instances [[${unfit.join(', ')}]] not in a valid state for account ${cloud.account}`,
    );
  }
  // What the sandbox can't do is said now, to the caller; never run without being kept apart.
  for (const id of instanceIds) machinesOf(cloud).get(id);
  const { OutputS3BucketName: bucket, OutputS3KeyPrefix: prefix, CloudWatchOutputConfig: logs } = input;
  const command: CommandState = {
    id: randomUUID(),
    document: input.DocumentName,
    comment: input.Comment,
    parameters: input.Parameters,
    instanceIds,
    timeoutSeconds: input.TimeoutSeconds,
    executionTimeout,
    requestedAt: new Date().toISOString(),
    ...(bucket === undefined || bucket === '' ? {} : { bucket }),
    ...(prefix === undefined || prefix === '' ? {} : { prefix }),
    ...(logs === undefined
      ? {}
      : { cloudWatch: { group: logs.CloudWatchLogGroupName ?? '', enabled: logs.CloudWatchOutputEnabled ?? false } }),
    pendingMs: cloud.timing.commandPending,
    invocations: Object.fromEntries(
      instanceIds.map((instanceId) => [
        instanceId,
        { instanceId, status: 'Pending', details: 'Pending', code: -1, stdout: '', stderr: '' },
      ]),
    ),
  };
  cloud.store.state.ssm.commands[command.id] = command;
  cloud.store.save();
  for (const id of instanceIds) carryOut(cloud, command, id);
  return { Command: commandView(cloud, command) };
}

/** A stopped machine is not in a valid state, one whose agent is lost is: that shows when nothing is delivered. */
function isManaged(cloud: Cloud, id: string): boolean {
  const instance = cloud.store.state.ec2.instances[id];
  return instance?.state === 'running' && pingOf(instance) !== undefined;
}

/** @returns seconds that the command may run */
function checkParameters(parameters: Record<string, string[]>): number {
  const unknown = Object.keys(parameters).find((name) => !PARAMETERS.includes(name));
  if (unknown !== undefined) throw invalid(`Parameter ${unknown} is not defined in document ${DOCUMENT}.`);
  if ((parameters['commands'] ?? []).length === 0) throw invalid('Parameter commands is required.');
  if ((parameters['workingDirectory'] ?? []).length > 1) throw invalid('Parameter workingDirectory takes one value.');
  const [seconds = '3600', ...more] = parameters['executionTimeout'] ?? [];
  if (more.length > 0 || !/^\d{1,6}$/.test(seconds) || Number(seconds) < 1 || Number(seconds) > LONGEST_SECONDS) {
    throw invalid(
      `Parameter executionTimeout must be a number of seconds from 1 to ${LONGEST_SECONDS}, not ${seconds}.`,
    );
  }
  return Number(seconds);
}

function invalid(message: string): AwsFault {
  return new AwsFault('InvalidParameters', message);
}
