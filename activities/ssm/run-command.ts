/** One command on one machine, by SSM RunCommand: sent once, adopted after a crash, waited for to its end. */
import { createHash } from 'node:crypto';
import { SendCommandCommand, type GetCommandInvocationCommandOutput } from '@aws-sdk/client-ssm';
import { Context, log, sleep } from '@temporalio/activity';
import { CancelledFailure, type ApplicationFailure } from '@temporalio/common';
import { ErrorType } from '../../spec/errors.ts';
import type { CommandOutput } from '../../spec/machine.ts';
import { ssmOnce } from '../aws/clients.ts';
import { awsFailure, isCode } from '../aws/failure.ts';
import { keep, kept } from '../aws/kept.ts';
import { NOT_YET_VISIBLE_MS } from '../aws/not-yet-visible.ts';
import { pollInterval } from '../aws/poll-interval.ts';
import { beat } from '../beat.ts';
import type { Ours } from '../ec2/tags.ts';
import { waitedMs } from '../ec2/wait.ts';
import { permanent } from '../errors.ts';
import { redact } from '../secrets/redact.ts';
import { CANCEL_WAIT_MS, endSent } from './end-command.ts';
import { commentOf, readInvocation, sentCommands } from './sent-commands.ts';
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

/**
 * Runs the script to its end. How it ended is the result: a script that failed is no error here.
 * @throws cutover.Busy never: a machine without its agent is waited for until `agentTimeoutMs`, then cutover.Deadline;
 *   cutover.Deadline where the command does not end; cutover.Denied, cutover.Throttled, cutover.Unreachable;
 *   CancelledFailure, after the command has ended too; its message says where it may still run
 */
export async function runOnMachine(args: CommandArgs, cancelWaitMs = CANCEL_WAIT_MS): Promise<CommandResult> {
  // An earlier attempt may have sent it.
  const call: Call = { begun: Context.current().info.attempt > 1 };
  try {
    call.commandId = (await findSent(args)) ?? (await sendWhenThere(args, call));
    keep({ [`command ${args.label}`]: call.commandId });
    return await untilEnded(args, call.commandId);
  } catch (error) {
    // Not where the worker is shut down, or this attempt was given up: the next attempt goes on with the command.
    if (Context.current().cancellationDetails?.cancelRequested !== true) throw error;
    if (call.commandId === undefined && !call.begun) throw error;
    // Left alone it would go on beside the undo of what it does.
    const left = await endSent(args, call.commandId, cancelWaitMs);
    if (left === undefined) throw error;
    log.warn(left);
    throw new CancelledFailure(left, [left], error as Error);
  }
}

interface Call {
  /** SendCommand may have been carried out. */
  begun: boolean;
  commandId?: string;
}

async function findSent(args: CommandArgs): Promise<string | undefined> {
  const known = kept<Record<string, string>>()[`command ${args.label}`];
  if (known !== undefined) return known;
  const sent = await sentCommands(args);
  return sent.find(({ meaning }) => args.repeatable !== true || meaning === 'pending' || meaning === 'ok')?.id;
}

async function sendWhenThere(args: CommandArgs, call: Call): Promise<string> {
  const { instanceId, label, agentTimeoutMs } = args;
  const { begun } = call;
  for (;;) {
    call.begun = true;
    try {
      const sent = await send(args);
      if (sent !== undefined) return sent;
      call.begun = begun;
    } catch (error) {
      // Any other error is AWS's own answer, and so a refusal.
      call.begun = begun || (error as ApplicationFailure).type === ErrorType.unreachable;
      throw error;
    }
    beat({ progress: { text: `${label}: the SSM agent of ${instanceId} is not there` } });
    if (waitedMs() > agentTimeoutMs) {
      throw permanent(ErrorType.deadline, `${label}: SSM does not reach ${instanceId}: its agent is not online`, {
        remedy:
          'is the machine running, amazon-ssm-agent on it too, has its profile AmazonSSMManagedInstanceCore, and can it reach SSM’s endpoints? Then retry the step',
      });
    }
    await sleep(pollInterval());
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
    await sleep(pollInterval());
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
