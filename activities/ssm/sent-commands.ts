/** The commands that were sent to a machine, known again by their comment: SendCommand has no client token (facts 3.6). */
import { createHash } from 'node:crypto';
import {
  GetCommandInvocationCommand,
  paginateListCommands,
  type GetCommandInvocationCommandOutput,
} from '@aws-sdk/client-ssm';
import { ssm } from '../aws/clients.ts';
import { awsFailure, isCode } from '../aws/failure.ts';
import type { CommandArgs } from './run-command.ts';
import { commandState, type CommandMeaning } from './status-table.ts';

/** SSM's limit for Comment. */
const COMMENT_CHARS = 100;

/** `cutover <migration> <run> <label>`: in the console it says whose it is, and to us that it was sent. */
export function commentOf({ ours, label }: Pick<CommandArgs, 'ours' | 'label'>): string {
  const comment = `cutover ${ours.migrationId} ${ours.run} ${label}`;
  if (comment.length <= COMMENT_CHARS) return comment;
  const digest = createHash('sha256').update(comment).digest('hex').slice(0, 12);
  return `${comment.slice(0, COMMENT_CHARS - 13)} ${digest}`;
}

/**
 * All that SSM shows of this command, newest first: more than one where an answer was lost, or where it is repeatable.
 * @throws cutover.Denied, cutover.Throttled, cutover.Unreachable
 */
export async function sentCommands(args: CommandArgs): Promise<{ id: string; meaning: CommandMeaning }[]> {
  const { instanceId, ours } = args;
  const comment = commentOf(args);
  const sent: { id: string; meaning: CommandMeaning }[] = [];
  try {
    for await (const { Commands = [] } of paginateListCommands({ client: ssm(ours.aws) }, { InstanceId: instanceId })) {
      for (const command of Commands) {
        if (command.Comment !== comment || !command.CommandId) continue;
        sent.push({ id: command.CommandId, meaning: commandState(command.Status, command.StatusDetails).meaning });
      }
    }
    return sent;
  } catch (error) {
    // SSM does not know a machine whose agent has never been there: nothing was sent to it.
    if (isCode(error, 'InvalidInstanceId')) return [];
    throw awsFailure(error, `ListCommands of ${instanceId}`);
  }
}

/** Undefined right after SendCommand. @throws as sentCommands */
export async function readInvocation(
  { ours, instanceId }: Pick<CommandArgs, 'ours' | 'instanceId'>,
  commandId: string,
): Promise<GetCommandInvocationCommandOutput | undefined> {
  try {
    return await ssm(ours.aws).send(new GetCommandInvocationCommand({ CommandId: commandId, InstanceId: instanceId }));
  } catch (error) {
    if (isCode(error, 'InvocationDoesNotExist')) return undefined;
    throw awsFailure(error, `GetCommandInvocation ${commandId}`);
  }
}
