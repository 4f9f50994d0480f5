import type { Cloud } from '../cloud.ts';
import { writeJson } from '../dms/json-protocol.ts';
import type { OwnService } from '../services.ts';
import { describeInstanceInformation } from './agents.ts';
import { cancelCommand, getCommandInvocation, listCommandInvocations, listCommands } from './commands.ts';
import { readInput } from './inputs.ts';
import type { INPUTS } from './inputs.ts';
import { sendCommand } from './send-command.ts';

type Action = keyof typeof INPUTS;

const HANDLERS: Readonly<Record<Action, (cloud: Cloud, input: never) => object>> = {
  SendCommand: sendCommand,
  GetCommandInvocation: getCommandInvocation,
  ListCommands: listCommands,
  ListCommandInvocations: listCommandInvocations,
  CancelCommand: cancelCommand,
  DescribeInstanceInformation: describeInstanceInformation,
};

/** RunCommand. All else of SSM (parameters) is the other server's. */
export const performSsm: OwnService = async (cloud, { action, text }) => {
  if (!isOurs(action)) return undefined;
  const output = HANDLERS[action](cloud, readInput(action, text) as never);
  return { body: writeJson(output), type: 'application/x-amz-json-1.1' };
};

function isOurs(action: string): action is Action {
  return Object.hasOwn(HANDLERS, action);
}
