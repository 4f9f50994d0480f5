import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Cloud } from '../cloud.ts';
import { outputOf } from '../ec2/machine/command-files.ts';
import { runFolder } from '../ec2/folders.ts';
import { waitOut } from '../ec2/pending.ts';
import { scriptOf } from '../ec2/script.ts';
import { machinesOf } from '../ec2/machines.ts';
import { pingOf } from './agents.ts';
import type { CommandState, InvocationState, InvocationStatus } from './state.ts';

/** What GetCommandInvocation shows at most, in characters (facts 3.6). */
const MOST_STDOUT = 24_000;
const MOST_STDERR = 8_000;

/** Brings a command to one machine and runs it there; goes on in the background. */
export function carryOut(cloud: Cloud, command: CommandState, instanceId: string): void {
  const invocation = command.invocations[instanceId];
  if (invocation === undefined) return;
  cloud.background.run(`command ${command.id}`, `ssm:${command.id}:${instanceId}`, async () => {
    await waitOut(cloud, command.requestedAt, command.pendingMs, 'commandPending');
    if (await delivered(cloud, command, invocation)) await execute(cloud, command, invocation);
  });
}

/** Waits for the machine's agent. False when the command has ended meanwhile. */
async function delivered(cloud: Cloud, command: CommandState, invocation: InvocationState): Promise<boolean> {
  const lost = scriptOf(cloud).lostCommands.shift();
  if (lost !== undefined && invocation.status === 'Pending') {
    end(cloud, invocation, lost === 'Delivery Timed Out' ? 'TimedOut' : 'Failed', lost);
    return false;
  }
  const limitMs = command.timeoutSeconds * cloud.timing.commandSecond;
  const left = Date.parse(command.requestedAt) + limitMs - Date.now();
  const outcome = await cloud.background.until(left, async () => {
    if (invocation.status !== 'Pending') return 'ended';
    const instance = cloud.store.state.ec2.instances[invocation.instanceId];
    if (instance === undefined || instance.state !== 'running') return 'gone';
    return pingOf(instance) === 'Online' && machinesOf(cloud).runs(instance.id) ? 'there' : undefined;
  });
  if (outcome === undefined) end(cloud, invocation, 'TimedOut', 'Delivery Timed Out');
  if (outcome === 'gone') end(cloud, invocation, 'Failed', 'Undeliverable');
  return outcome === 'there';
}

async function execute(cloud: Cloud, command: CommandState, invocation: InvocationState): Promise<void> {
  const { instanceId } = invocation;
  const machine = machinesOf(cloud).get(instanceId);
  invocation.status = 'InProgress';
  invocation.details = 'InProgress';
  invocation.startedAt = new Date().toISOString();
  cloud.store.save();
  let late = false;
  const limit = setTimeout(
    () => {
      late = true;
      machine.kill(command.id);
    },
    Math.min(command.executionTimeout * cloud.timing.commandSecond, 2 ** 31 - 1),
  );
  const script = (command.parameters['commands'] ?? []).join('\n');
  const cwd = command.parameters['workingDirectory']?.[0] ?? '/';
  let code: number;
  let problem = '';
  try {
    code = await cloud.background.orStopped(machine.run(command.id, `${script}\n`, { cwd }));
  } catch (error) {
    if (cloud.background.stopped || !(error instanceof Error)) throw error;
    code = 1;
    problem = error.message;
  } finally {
    clearTimeout(limit);
  }
  const output = outputOf(runFolder(cloud, instanceId), command.id);
  output.stderr += problem;
  await toBucket(cloud, command, instanceId, output);
  invocation.stdout = output.stdout.slice(0, MOST_STDOUT);
  invocation.stderr = output.stderr.slice(0, MOST_STDERR);
  invocation.code = code;
  // Widened: a CancelCommand may have come while it ran.
  const { status } = command.invocations[instanceId] ?? invocation;
  if (late) end(cloud, invocation, 'TimedOut', 'Execution Timed Out');
  else if (status === 'Cancelling') end(cloud, invocation, 'Cancelled', 'Cancelled');
  else if (code === 0) end(cloud, invocation, 'Success', 'Success');
  else end(cloud, invocation, 'Failed', 'Failed');
}

export function end(cloud: Cloud, invocation: InvocationState, status: InvocationStatus, details: string): void {
  invocation.status = status;
  invocation.details = details;
  invocation.endedAt = new Date().toISOString();
  cloud.store.save();
}

/** A command that can't be cancelled any more stays as it ended. */
export function cancel(cloud: Cloud, command: CommandState, invocation: InvocationState): void {
  if (invocation.status === 'Pending') return end(cloud, invocation, 'Cancelled', 'Cancelled');
  if (invocation.status !== 'InProgress') return;
  invocation.status = 'Cancelling';
  invocation.details = 'Cancelling';
  cloud.store.save();
  if (machinesOf(cloud).runs(invocation.instanceId)) machinesOf(cloud).get(invocation.instanceId).kill(command.id);
}

/** The whole output, however long, for a command that named a bucket. */
async function toBucket(
  cloud: Cloud,
  command: CommandState,
  instanceId: string,
  output: { stdout: string; stderr: string },
): Promise<void> {
  if (command.bucket === undefined) return;
  for (const name of ['stdout', 'stderr'] as const) {
    if (output[name] === '') continue;
    // Outside of the machine's own folders, whose programs could have put a link there.
    const file = join(cloud.dir, 'ec2', `${command.id}-${instanceId}-${name}`);
    writeFileSync(file, output[name]);
    try {
      await cloud.buckets.put(command.bucket, outputKey(command, instanceId, name), file);
    } catch (error) {
      // As the agent does: the command's end is told whether its output could be written or not.
      output.stderr += `\nfailed to upload ${name} to S3: ${error instanceof Error ? error.message : String(error)}\n`;
    } finally {
      rmSync(file, { force: true });
    }
  }
}

export function outputKey(command: CommandState, instanceId: string, name: 'stdout' | 'stderr'): string {
  const prefix = command.prefix === undefined ? '' : `${command.prefix.replace(/\/+$/, '')}/`;
  return `${prefix}${command.id}/${instanceId}/awsrunShellScript/0.awsrunShellScript/${name}`;
}
