/** One command on one machine, by SSM RunCommand: sent once, adopted after a crash, waited for to its end. */
import { createHash } from 'node:crypto';
import {
  CancelCommandCommand,
  GetCommandInvocationCommand,
  ListCommandsCommand,
  SendCommandCommand,
  type GetCommandInvocationCommandOutput,
} from '@aws-sdk/client-ssm';
import { sleep } from '@temporalio/activity';
import { CancelledFailure } from '@temporalio/common';
import { ErrorType } from '../../spec/errors.ts';
import type { CommandOutput } from '../../spec/machine.ts';
import { ssm, ssmOnce } from '../aws/clients.ts';
import { awsFailure, isCode } from '../aws/failure.ts';
import { keep, kept } from '../aws/kept.ts';
import { beat } from '../beat.ts';
import type { Ours } from '../ec2/tags.ts';
import { ec2PollMs, NOT_YET_VISIBLE_MS, waitedMs } from '../ec2/wait.ts';
import { permanent } from '../errors.ts';
import { redact } from '../secrets/redact.ts';
import { commandState, type CommandMeaning } from './status-table.ts';
import { runOnce } from './wrapped-script.ts';

export interface CommandArgs {
  ours: Ours;
  instanceId: string;
  /** Of this command alone within the run, and another one for each try by an operator: `stop-app#2`. */
  label: string;
  script: string;
  /** How long it may run, ms. */
  timeoutMs: number;
  /** How long SSM may take to deliver it, ms. */
  agentTimeoutMs: number;
  output?: CommandOutput | undefined;
  /** The script itself knows what to do when it is run twice, and a failed one may be sent again. */
  repeatable?: boolean;
}

export interface CommandResult {
  commandId: string;
  meaning: Exclude<CommandMeaning, 'pending'>;
  /** AWS's own words: `Execution Timed Out`. */
  status: string;
  exitCode?: number;
  /** Whole, as far as SSM keeps it (24,000 and 8,000 characters), and without known secrets. Not for history. */
  stdout: string;
  stderr: string;
}

/** SSM's least, seconds. */
const LEAST_DELIVERY_S = 30;
/** Beyond delivery and run, before an answer is given up, ms. */
const GRACE_MS = 60_000;
/** SSM's limit for Comment. */
const COMMENT_CHARS = 100;

/**
 * Runs the script to its end. How it ended is the result: a script that failed is no error here.
 * @throws cutover.Busy never: a machine without its agent is waited for until `agentTimeoutMs`, then cutover.Deadline;
 *   cutover.Deadline where the command does not end; cutover.Denied, cutover.Throttled, cutover.Unreachable;
 *   CancelledFailure, after the command was cancelled too
 */
export async function runOnMachine(args: CommandArgs): Promise<CommandResult> {
  const commandId = (await findSent(args)) ?? (await sendWhenThere(args));
  keep({ [`command ${args.label}`]: commandId });
  try {
    return await untilEnded(args, commandId);
  } catch (error) {
    // Left alone it would go on beside the undo of what it does.
    if (error instanceof CancelledFailure) await cancel(args, commandId);
    throw error;
  }
}

/** `cutover <migration> <run> <label>`: in the console it says whose it is, and to us that it was sent. */
function commentOf({ ours, label }: CommandArgs): string {
  const comment = `cutover ${ours.migrationId} ${ours.run} ${label}`;
  if (comment.length <= COMMENT_CHARS) return comment;
  const digest = createHash('sha256').update(comment).digest('hex').slice(0, 12);
  return `${comment.slice(0, COMMENT_CHARS - 13)} ${digest}`;
}

async function findSent(args: CommandArgs): Promise<string | undefined> {
  const known = kept<Record<string, string>>()[`command ${args.label}`];
  if (known !== undefined) return known;
  const { instanceId, ours } = args;
  const comment = commentOf(args);
  try {
    for (let token: string | undefined, more = true; more; more = token !== undefined) {
      const answer = await ssm(ours.aws).send(
        new ListCommandsCommand({ InstanceId: instanceId, ...(token ? { NextToken: token } : {}) }),
      );
      for (const command of answer.Commands ?? []) {
        if (command.Comment !== comment || !command.CommandId) continue;
        const { meaning } = commandState(command.Status, command.StatusDetails);
        if (args.repeatable !== true || meaning === 'pending' || meaning === 'ok') return command.CommandId;
      }
      token = answer.NextToken || undefined;
    }
    return undefined;
  } catch (error) {
    // SSM does not know a machine whose agent has never been there: nothing was sent to it.
    if (isCode(error, 'InvalidInstanceId')) return undefined;
    throw awsFailure(error, `ListCommands of ${instanceId}`);
  }
}

async function sendWhenThere(args: CommandArgs): Promise<string> {
  const { instanceId, label, agentTimeoutMs } = args;
  for (;;) {
    const sent = await send(args);
    if (sent !== undefined) return sent;
    beat({ progress: { text: `${label}: the SSM agent of ${instanceId} is not there` } });
    if (waitedMs() > agentTimeoutMs) {
      throw permanent(ErrorType.deadline, `${label}: SSM does not reach ${instanceId}: its agent is not online`, {
        remedy:
          'is the machine running, amazon-ssm-agent on it too, has its profile AmazonSSMManagedInstanceCore, and can it reach SSM’s endpoints? Then retry the step',
      });
    }
    await sleep(ec2PollMs());
  }
}

/** Undefined where SSM does not know the machine now. */
async function send(args: CommandArgs): Promise<string | undefined> {
  const { ours, instanceId, label, script, timeoutMs, agentTimeoutMs, output } = args;
  const key = createHash('sha256').update(`${ours.run} ${label}`).digest('hex').slice(0, 24);
  try {
    const { Command } = await ssmOnce(ours.aws).send(
      new SendCommandCommand({
        DocumentName: 'AWS-RunShellScript',
        InstanceIds: [instanceId],
        Comment: commentOf(args),
        // Of the delivery; the run has a time of its own.
        TimeoutSeconds: Math.max(LEAST_DELIVERY_S, Math.ceil(agentTimeoutMs / 1000)),
        Parameters: {
          commands: [args.repeatable === true ? script : runOnce(key, script)],
          executionTimeout: [String(Math.max(1, Math.ceil(timeoutMs / 1000)))],
        },
        ...(output
          ? { OutputS3BucketName: output.bucket, ...(output.prefix ? { OutputS3KeyPrefix: output.prefix } : {}) }
          : {}),
      }),
    );
    if (!Command?.CommandId) throw new Error('the answer has no CommandId');
    return Command.CommandId;
  } catch (error) {
    if (isCode(error, 'InvalidInstanceId')) return undefined;
    throw awsFailure(error, `SendCommand ${label} to ${instanceId}`);
  }
}

async function untilEnded(args: CommandArgs, commandId: string): Promise<CommandResult> {
  const { label, timeoutMs, agentTimeoutMs } = args;
  const began = Date.now();
  for (;;) {
    const invocation = await readInvocation(args, commandId);
    const reading = commandState(invocation?.Status, invocation?.StatusDetails);
    if (invocation && reading.meaning !== 'pending') return resultOf(commandId, invocation, reading.meaning);
    const status = invocation?.StatusDetails ?? 'not known to SSM yet';
    beat({ progress: { text: `${label}: ${reading.warning && invocation ? reading.warning : status}` } });
    const waited = Date.now() - began;
    const limit = invocation
      ? Math.max(agentTimeoutMs, LEAST_DELIVERY_S * 1000) + timeoutMs + GRACE_MS
      : NOT_YET_VISIBLE_MS;
    if (waited > limit) {
      throw permanent(
        ErrorType.deadline,
        `${label}: no end of the command ${commandId} within ${limit / 1000} s: ${status}`,
        {
          remedy: `look at it: aws ssm get-command-invocation --command-id ${commandId} --instance-id ${args.instanceId}`,
        },
      );
    }
    await sleep(ec2PollMs());
  }
}

async function readInvocation(
  { ours, instanceId }: CommandArgs,
  commandId: string,
): Promise<GetCommandInvocationCommandOutput | undefined> {
  try {
    return await ssm(ours.aws).send(new GetCommandInvocationCommand({ CommandId: commandId, InstanceId: instanceId }));
  } catch (error) {
    // Right after SendCommand it is not there yet.
    if (isCode(error, 'InvocationDoesNotExist')) return undefined;
    throw awsFailure(error, `GetCommandInvocation ${commandId}`);
  }
}

function resultOf(
  commandId: string,
  invocation: GetCommandInvocationCommandOutput,
  meaning: CommandResult['meaning'],
): CommandResult {
  const code = invocation.ResponseCode;
  return {
    commandId,
    meaning,
    status: invocation.StatusDetails ?? invocation.Status ?? '',
    // -1: it was not started.
    ...(code === undefined || code < 0 ? {} : { exitCode: code }),
    stdout: redact(invocation.StandardOutputContent ?? ''),
    stderr: redact(invocation.StandardErrorContent ?? ''),
  };
}

async function cancel({ ours, instanceId }: CommandArgs, commandId: string): Promise<void> {
  try {
    await ssm(ours.aws).send(new CancelCommandCommand({ CommandId: commandId, InstanceIds: [instanceId] }));
  } catch {
    // It has ended, or AWS is away: the abort must go on, and the script's own timeout ends it.
  }
}
