import type { ListCommandInvocationsResult, ListCommandsResult, GetCommandInvocationResult } from '@aws-sdk/client-ssm';
import type { Cloud } from '../cloud.ts';
import { AwsFault } from '../faults.ts';
import { commandView, invocationView, listedInvocation } from './command-views.ts';
import type { Input } from './inputs.ts';
import { cancel } from './invocation.ts';
import type { CommandState, InvocationState } from './state.ts';
import { tokenPage } from './token-page.ts';

/** @throws AwsFault InvocationDoesNotExist, also for a while after SendCommand (facts 3.6); InvalidPluginName */
export function getCommandInvocation(cloud: Cloud, input: Input<'GetCommandInvocation'>): GetCommandInvocationResult {
  const command = cloud.store.visible().ssm.commands[input.CommandId];
  const invocation = command?.invocations[input.InstanceId];
  if (command === undefined || invocation === undefined || !isVisible(cloud, command)) {
    throw new AwsFault('InvocationDoesNotExist', '');
  }
  const plugin = input.PluginName ?? 'aws:runShellScript';
  if (plugin !== 'aws:runShellScript' && plugin !== 'aws:RunShellScript') {
    throw new AwsFault('InvalidPluginName', `The plugin name ${plugin} is not valid.`);
  }
  return invocationView(cloud, command, invocation);
}

export function listCommands(cloud: Cloud, input: Input<'ListCommands'>): ListCommandsResult {
  const found = matching(cloud, input).filter((command) => passes(input, statusOf(cloud, command), command));
  const { items, ...token } = tokenPage(found, ({ id }) => id, input);
  return { Commands: items.map((command) => commandView(cloud, command)), ...token };
}

export function listCommandInvocations(
  cloud: Cloud,
  input: Input<'ListCommandInvocations'>,
): ListCommandInvocationsResult {
  const found = matching(cloud, input)
    .filter((command) => isVisible(cloud, command))
    .flatMap((command) => Object.values(command.invocations).map((invocation) => ({ command, invocation })))
    .filter(({ invocation }) => input.InstanceId === undefined || invocation.instanceId === input.InstanceId)
    .filter(({ command, invocation }) => passes(input, invocation.status, command));
  const idOf = ({ command, invocation }: { command: CommandState; invocation: InvocationState }): string =>
    `${command.id} ${invocation.instanceId}`;
  const { items, ...token } = tokenPage(found, idOf, input);
  return {
    CommandInvocations: items.map(({ command, invocation }) =>
      listedInvocation(cloud, command, invocation, input.Details),
    ),
    ...token,
  };
}

export function cancelCommand(cloud: Cloud, input: Input<'CancelCommand'>): object {
  const command = find(cloud.store.state.ssm.commands, input.CommandId);
  const wanted = input.InstanceIds ?? [];
  const unknown = wanted.find((id) => command.invocations[id] === undefined);
  if (unknown !== undefined)
    throw new AwsFault('InvalidInstanceId', `Command ${command.id} was not sent to ${unknown}.`);
  for (const invocation of Object.values(command.invocations)) {
    if (wanted.length === 0 || wanted.includes(invocation.instanceId)) cancel(cloud, command, invocation);
  }
  return {};
}

/** By a shorter timing that was set meanwhile, too. */
function isVisible({ timing }: Cloud, { requestedAt, pendingMs }: CommandState): boolean {
  return Date.now() >= Date.parse(requestedAt) + Math.min(pendingMs, timing.commandPending);
}

/** Newest first. */
function matching(
  cloud: Cloud,
  input: { CommandId?: string | undefined; InstanceId?: string | undefined },
): CommandState[] {
  const { commands } = cloud.store.visible().ssm;
  const named = input.CommandId === undefined ? Object.values(commands).reverse() : [find(commands, input.CommandId)];
  return named.filter(({ instanceIds }) => input.InstanceId === undefined || instanceIds.includes(input.InstanceId));
}

function find(commands: Record<string, CommandState>, id: string): CommandState {
  const command = commands[id];
  if (command === undefined) throw new AwsFault('InvalidCommandId', `The command ID ${id} is not valid.`);
  return command;
}

function statusOf(cloud: Cloud, command: CommandState): string {
  return commandView(cloud, command).Status ?? '';
}

function passes(
  { Filters = [] }: { Filters?: { key: string; value: string }[] | undefined },
  status: string,
  command: CommandState,
): boolean {
  return Filters.every(({ key, value }) => {
    switch (key) {
      case 'InvokedAfter':
        return Date.parse(command.requestedAt) > Date.parse(value);
      case 'InvokedBefore':
        return Date.parse(command.requestedAt) < Date.parse(value);
      case 'Status':
        return status === value;
      case 'DocumentName':
        return command.document === value;
      default:
        throw new AwsFault('InvalidFilterKey', `The filter key ${key} is not valid.`);
    }
  });
}
