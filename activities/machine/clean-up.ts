/** What the backup caught in the middle: listed first, then cleaned up one by one, each by a command of its own. */
import { ErrorType } from '../../spec/errors.ts';
import { fillMachine, type StepOf } from '../../spec/machine-steps.ts';
import { permanent } from '../errors.ts';
import { commandFailure } from '../ssm/command-failure.ts';
import { sendStep, stepDir } from './run-step.ts';
import type { StepArgs } from './step-args.ts';
import { cleanUpScript, listScript, wholeOutput } from './step-scripts.ts';

/** More than an operator looks through before he approves. */
const MOST = 500;

/** Changes nothing. @throws cutover.ServiceFailed where the list command fails; cutover.Invalid where it lists too many */
export async function listCleanUp(args: StepArgs<StepOf<'clean-up'>>): Promise<{ items: string[] }> {
  const { step, machine } = args;
  if (step.listCommand === undefined) return { items: unique(step.list) };
  const label = `list-${step.name}#${args.attempt}`;
  const script = listScript(fillMachine(step.listCommand, machine), `${stepDir(args)}-list`);
  const result = await sendStep(args, script, step.timeout, label);
  if (result.meaning !== 'ok') throw commandFailure(`${step.name}: listCommand`, machine.instanceId, result);
  const listed = wholeOutput(result.stdout);
  if (listed === undefined) {
    throw permanent(ErrorType.invalid, `${step.name}: listCommand printed more than SSM keeps (24,000 characters)`, {
      remedy: 'have it print less, or name those that are meant in the file as list',
    });
  }
  const items = unique([...step.list, ...listed.split('\n').map((line) => line.trim())]);
  if (items.length > MOST) {
    throw permanent(ErrorType.invalid, `${step.name}: ${items.length} to clean up: more than ${MOST}`, {
      remedy: 'name those that are meant in the file as list',
    });
  }
  return { items };
}

/** Cleans one up. What it printed is told of a failure only. @throws cutover.ServiceFailed with the output's end */
export async function cleanUpItem(
  args: StepArgs<StepOf<'clean-up'>> & { item: string; index: number },
): Promise<{ item: string; commandId: string }> {
  const { step, machine, item, index } = args;
  const dir = `${stepDir(args)}-${index}`;
  const label = `${step.name}-${index}#${args.attempt}`;
  const filled = {
    ...step,
    each: fillMachine(step.each, machine),
    verify: step.verify === undefined ? undefined : fillMachine(step.verify, machine),
  };
  const result = await sendStep(args, cleanUpScript(filled, item, dir), step.timeout, label);
  if (result.meaning !== 'ok') throw commandFailure(`${step.name} of ${item}`, machine.instanceId, result);
  return { item, commandId: result.commandId };
}

function unique(items: readonly string[]): string[] {
  return [...new Set(items.filter((item) => item !== ''))];
}
