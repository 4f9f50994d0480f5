/** One step on a restored machine: its command, and the proof that it did what it was for. */
import { createHash } from 'node:crypto';
import { ErrorType } from '../../spec/errors.ts';
import { fillMachine, type StepOf } from '../../spec/machine-steps.ts';
import { permanent } from '../errors.ts';
import { commandFailure } from '../ssm/command-failure.ts';
import { runOnMachine, type CommandResult } from '../ssm/run-command.ts';
import { MACHINE_DIR } from '../ssm/wrapped-script.ts';
import { checkMachineHttp } from './http.ts';
import { dashed, replaceReport, replacements, replaceScript, type Replacement } from './replace-script.ts';
import type { StepArgs, StepResult } from './step-args.ts';
import { commandScript, removeScript, verificationFailed } from './step-scripts.ts';
import { storageAdvice, storageReport, storageScript } from './storage-script.ts';

/** Beyond a step's own time, for the shell around it, ms. */
const SLACK_MS = 15_000;

/**
 * Runs a step to its end. Safe to run twice: each command is sent and run once for a try.
 * @throws cutover.ServiceFailed with the command's output; cutover.Differs where it is not as the file expects; as
 *   runOnMachine
 */
export async function runMachineStep(args: StepArgs): Promise<StepResult> {
  const { step } = args;
  switch (step.type) {
    case 'command':
      return command({ ...args, step });
    case 'host-name':
      return hostName({ ...args, step });
    case 'replace-addresses':
      return replaceAddresses({ ...args, step });
    case 'remove':
      return remove({ ...args, step });
    case 'http':
      return checkMachineHttp({ ...args, step });
    case 'object-storage':
      return objectStorage({ ...args, step });
    case 'clean-up':
      throw permanent(ErrorType.invalid, `${step.name}: clean-ups are run one by one`);
  }
}

/** A directory on the machine, of this step alone. */
export function stepDir({ ours, step, attempt }: Pick<StepArgs, 'ours' | 'step' | 'attempt'>): string {
  const key = createHash('sha256').update(`${ours.run} ${step.name} ${attempt}`).digest('hex').slice(0, 16);
  return `${MACHINE_DIR}/${step.name}-${key}`;
}

export async function sendStep(
  args: StepArgs,
  script: string,
  timeoutMs: number,
  label?: string,
): Promise<CommandResult> {
  const { ours, machine, step, attempt, agentTimeoutMs, output } = args;
  return runOnMachine({
    ours,
    instanceId: machine.instanceId,
    label: label ?? `${step.name}#${attempt}`,
    script,
    timeoutMs: timeoutMs + SLACK_MS,
    agentTimeoutMs,
    output,
  });
}

async function command(args: StepArgs<StepOf<'command'>>): Promise<StepResult> {
  const { step, machine } = args;
  const filled = {
    ...step,
    run: fillMachine(step.run, machine),
    verify: { ...step.verify, run: fillMachine(step.verify.run, machine) },
  };
  const result = await sendStep(args, commandScript(filled, stepDir(args)), step.timeout + 2 * step.verify.within);
  if (result.meaning !== 'ok') {
    const what = verificationFailed(result.exitCode) ? `${step.name} ran, and is not proven` : step.name;
    throw commandFailure(what, machine.instanceId, result, { output: args.output });
  }
  // Nothing of what it printed: it would be in the history, and nobody has looked whether a secret is in it.
  return { note: 'exit code 0, proven' };
}

async function hostName(args: StepArgs<StepOf<'host-name'>>): Promise<StepResult> {
  const { step, machine } = args;
  const result = await sendStep(args, fillMachine(step.read, machine), step.timeout);
  if (result.meaning !== 'ok') throw commandFailure(step.name, machine.instanceId, result, { output: args.output });
  const found = result.stdout.trim();
  const expected = fillMachine(step.expected, machine);
  if (found !== expected) {
    throw permanent(
      ErrorType.differs,
      `the application on ${machine.instanceId} is configured as ${JSON.stringify(found.slice(0, 200))}, expected ${JSON.stringify(expected)}`,
      {
        remedy:
          'set the host name in the application’s console (port 8800), then retry. Its GitHub OAuth application has the host name too: change it there, or register another OAuth application for this machine; skip where the name is to stay',
      },
    );
  }
  return { note: `configured as ${found}` };
}

async function replaceAddresses(args: StepArgs<StepOf<'replace-addresses'>>): Promise<StepResult> {
  const { step, machine, ours, old } = args;
  const pairs = replacements(pairsOf(args));
  if (old.private.length === 0 && Object.keys(step.also).length === 0) {
    throw permanent(ErrorType.invalid, `${step.name}: the addresses of the old machine are not known`, {
      remedy:
        'the backup has no tags of them: name them in the file as oldAddresses: { private: […], public: […] }; then start anew',
    });
  }
  // On the disk: it is what a human goes back to, also after a reboot.
  const keptIn = `/var/lib/cutover/${ours.run}/${step.name}`;
  // What pointed at the old machine's public address would go on doing so, as long as that machine is there.
  const gone = machine.publicIp === undefined ? old.public.filter((address) => !(address in step.also)) : [];
  const result = await sendStep(args, replaceScript({ pairs, gone, files: step.files, keptIn }), step.timeout);
  if (result.meaning !== 'ok') {
    const whys: Record<number, string> = {
      3: `none of ${step.files.join(', ')} is there`,
      4: 'an old address is left',
    };
    const why = whys[result.exitCode ?? -1];
    throw commandFailure(`${step.name}${why ? `: ${why}` : ''}`, machine.instanceId, result, {
      output: args.output,
      ...(result.exitCode === 4 && gone.length > 0 ? { remedy: noPublicAddress(machine.instanceId, gone) } : {}),
    });
  }
  const report = replaceReport(result.stdout, keptIn);
  const total = report.files.reduce((all, { count }) => all + count, 0);
  return {
    note: `${total} in ${report.files.length} file(s): ${report.files.map(({ path, count }) => `${path} ${count}`).join(', ') || 'none'}; none is left`,
    details: { ...report, replaced: pairs },
    warnings: report.binary.map((path) => `${path} is no text and has an old address in it: it is left alone`),
  };
}

function noPublicAddress(instanceId: string, gone: readonly string[]): string {
  return `${instanceId} has no public address that could take the place of ${gone.join(', ')}: mend the files by hand and retry, or skip; in the file: also: { '${gone[0]}': … }`;
}

function pairsOf({ step, machine, old }: StepArgs<StepOf<'replace-addresses'>>): Replacement[] {
  const { privateIp, publicIp } = machine;
  return [
    ...old.private.flatMap((address) => [
      { old: address, new: privateIp },
      { old: dashed(address), new: dashed(privateIp) },
    ]),
    ...(publicIp === undefined ? [] : old.public.map((address) => ({ old: address, new: publicIp }))),
    ...Object.entries(step.also).map(([from, to]) => ({ old: from, new: fillMachine(to, machine) })),
  ];
}

async function remove(args: StepArgs<StepOf<'remove'>>): Promise<StepResult> {
  const { step, machine } = args;
  const result = await sendStep(args, removeScript(step.paths), step.timeout);
  if (result.meaning !== 'ok') throw commandFailure(step.name, machine.instanceId, result, { output: args.output });
  return { note: result.stdout.trim().split('\n').join(', ') };
}

async function objectStorage(args: StepArgs<StepOf<'object-storage'>>): Promise<StepResult> {
  const { step, machine } = args;
  const detect = step.detect === undefined ? undefined : fillMachine(step.detect, machine);
  const script = storageScript({ paths: step.paths, detect, dir: stepDir(args) });
  const result = await sendStep(args, script, step.timeout);
  if (result.meaning !== 'ok') throw commandFailure(step.name, machine.instanceId, result, { output: args.output });
  const report = storageReport(result.stdout);
  if (!report) {
    throw permanent(ErrorType.invalid, `${step.name}: more places than SSM’s output holds (24,000 characters)`, {
      remedy: 'name fewer paths in the file, or have detect print the directories above them',
    });
  }
  const { places, elsewhere } = report;
  if (places.length + elsewhere.length === 0) {
    throw permanent(ErrorType.differs, `${step.name}: detect names no place of objects on ${machine.instanceId}`, {
      remedy:
        'it prints a line for each: local <path>, or s3 <bucket>; mend it and start anew, or skip where there are none',
    });
  }
  const advice = places.map(storageAdvice);
  const broken = places.filter(({ state }) => state === 'missing' || state === 'empty' || state === 'not-mounted');
  if (broken.length > 0) {
    throw permanent(ErrorType.differs, `objects on ${machine.instanceId}: ${broken.map(storageAdvice).join('; ')}`, {
      remedy: 'an image has only what is on the machine’s own disks; mend it and retry, or skip',
    });
  }
  return {
    note:
      places.length === 0
        ? `none on the machine${elsewhere.length > 0 ? `; in S3: ${elsewhere.join(', ')}` : ''}`
        : `${places.length} place(s) on the machine: ${places.map(({ path, state }) => `${path} ${state}`).join(', ')}`,
    details: { places, elsewhere },
    warnings: advice,
  };
}
