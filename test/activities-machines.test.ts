/** What an abort leaves: commands whose activity is cancelled, and backups that are seen late. And what preflights ask. */
import {
  CreateTagsCommand,
  DescribeImagesCommand,
  DescribeInstancesCommand,
  DescribeSnapshotsCommand,
  TerminateInstancesCommand,
} from '@aws-sdk/client-ec2';
import { CancelCommandCommand, ListCommandsCommand } from '@aws-sdk/client-ssm';
import { ActivityCancellationDetails } from '@temporalio/common';
import { MockActivityEnvironment } from '@temporalio/testing';
import { DefaultLogger } from '@temporalio/worker';
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import { closeAwsClients } from '../activities/aws/clients.ts';
import { oursTags, tagList, type Ours } from '../activities/ec2/tags.ts';
import { preflightMachineBackup } from '../activities/machine/backup-preflight.ts';
import { removeMachineBackup } from '../activities/machine/remove-backup.ts';
import { preflightMachineRestore } from '../activities/machine/restore-preflight.ts';
import { commentOf } from '../activities/ssm/sent-commands.ts';
import { runOnMachine, type CommandArgs } from '../activities/ssm/run-command.ts';
import { AwsFault } from '../sandbox/aws/index.ts';
import { machineBackup } from '../spec/kind-machine-backup.ts';
import { machineRestore } from '../spec/kind-machine-restore.ts';
import type { PreflightReport } from '../spec/preflight.ts';
import {
  ended,
  eventually,
  invocationOf,
  startMachinesRig,
  takeImage,
  type MachinesRig,
} from './sandbox-machines-setup.ts';

let rig: MachinesRig;
let id: string;
/** Of everything that one attempt of one test makes. */
let count = 0;

beforeAll(async () => {
  rig = await startMachinesRig();
  for (const [name, value] of Object.entries({ ...rig.aws.env, CUTOVER_AWS_POLL_MS: '50' })) vi.stubEnv(name, value);
  ({ instanceId: id } = await rig.aws.control.machines.create({ name: 'one' }));
});
afterEach(() => {
  // A preflight also asks what only the other server knows, and there is none here: then it says `unknown`.
  const failures = rig.aws.control.failures().filter((text) => !text.startsWith('ec2 DescribeInstanceTypes: '));
  expect(failures).toEqual([]);
  rig.aws.control.reset();
});
afterAll(async () => {
  closeAwsClients();
  await rig?.end();
});

const activity = () => new MockActivityEnvironment({}, { logger: new DefaultLogger('ERROR') });
const newOurs = (): Ours => ({ migrationId: 'cancelled', run: `run-${(count += 1)}` });
const command = (): CommandArgs => ({
  ours: newOurs(),
  instanceId: id,
  label: 'long',
  script: 'sleep 1000',
  timeoutMs: 1_000_000,
  agentTimeoutMs: 30_000,
});

async function sent(args: CommandArgs): Promise<string[]> {
  const { Commands = [] } = await rig.ssm.send(new ListCommandsCommand({ InstanceId: id }));
  return Commands.filter(({ Comment }) => Comment === commentOf(args)).map(({ CommandId }) => CommandId!);
}

/** Starts it, and returns when it runs on the machine. */
async function running(args: CommandArgs, cancelWaitMs?: number) {
  const environment = activity();
  const outcome = environment.run(runOnMachine, args, cancelWaitMs).catch((error: unknown) => error as Error);
  const [commandId = ''] = await eventually(
    () => sent(args),
    (found) => found.length > 0,
  );
  await eventually(
    () => invocationOf(rig, id, commandId),
    ({ Status }) => Status === 'InProgress',
  );
  return { environment, outcome, commandId };
}

test('a cancelled command has ended when its activity has, though AWS took the cancellation only later', async () => {
  const { environment, outcome, commandId } = await running(command(), 60_000);
  rig.aws.control.failNext({ action: 'CancelCommand', code: 'AccessDeniedException', times: 3 });
  environment.cancel();
  expect((await outcome) as Error).toMatchObject({ name: 'CancelledFailure' });
  // Read once: nothing is waited for any more.
  expect(await invocationOf(rig, id, commandId)).toMatchObject({ Status: 'Cancelled' });
});

test('one that does not end is named', async () => {
  const { environment, outcome, commandId } = await running(command(), 300);
  rig.aws.control.failNext({ action: 'CancelCommand', code: 'AccessDeniedException', times: 1_000 });
  environment.cancel();
  expect((await outcome) as Error).toMatchObject({
    name: 'CancelledFailure',
    message: `long: the command ${commandId} still runs on ${id}, 0.3 s after it was cancelled`,
  });
  rig.aws.control.reset();
  await rig.ssm.send(new CancelCommandCommand({ CommandId: commandId }));
  await ended(rig, id, commandId);
});

test('a worker that shuts down leaves the command to the next attempt', async () => {
  const { environment, outcome, commandId } = await running(command());
  environment.cancel('WORKER_SHUTDOWN', new ActivityCancellationDetails({ workerShutdown: true }));
  expect((await outcome) as Error).toMatchObject({ name: 'CancelledFailure' });
  expect(
    rig.aws.control
      .calls({ action: 'CancelCommand' })
      .filter(({ params }) => JSON.stringify(params).includes(commandId)),
  ).toEqual([]);
  expect(await invocationOf(rig, id, commandId)).toMatchObject({ Status: 'InProgress' });
  await rig.ssm.send(new CancelCommandCommand({ CommandId: commandId }));
  await ended(rig, id, commandId);
});

test('cancelled while SendCommand’s answer is lost: what was sent is found, and ended', async () => {
  const args = command();
  const environment = activity();
  rig.aws.control.drop({ action: 'SendCommand', times: 1 });
  const off = rig.aws.control.onCall('SendCommand', 'after', () => environment.cancel());
  await expect(environment.run(runOnMachine, args, 60_000)).rejects.toThrow();
  off();
  const [commandId = '', ...more] = await sent(args);
  expect(more).toEqual([]);
  expect(await invocationOf(rig, id, commandId)).toMatchObject({ Status: 'Cancelled' });
});

const remove = async (args: Parameters<typeof removeMachineBackup>[0]) =>
  (await activity().run(removeMachineBackup, args)) as { note: string };

/** Calls of an undo are let through until the fifth reading: then the backup becomes visible. */
function atFifthReading(show: () => Promise<unknown>): void {
  let readings = 0;
  rig.aws.control.onCall('DescribeImages', 'before', async ({ params }) => {
    if (JSON.stringify(params).includes('cutover:run') && (readings += 1) === 5) await show();
  });
}

async function left(ours: Ours): Promise<unknown[]> {
  const Filters = [{ Name: 'tag:cutover:run', Values: [ours.run] }];
  const [{ Images = [] }, { Snapshots = [] }] = await Promise.all([
    rig.ec2.send(new DescribeImagesCommand({ Filters })),
    rig.ec2.send(new DescribeSnapshotsCommand({ Filters })),
  ]);
  return [...Images, ...Snapshots];
}

test('an image that was answered is removed however late it is seen, and not waited for after that', async () => {
  const ours = newOurs();
  const image = await takeImage(rig, id, `late ${ours.run}`);
  const snapshots = image.BlockDeviceMappings!.map(({ Ebs }) => Ebs!.SnapshotId!);
  atFifthReading(() =>
    rig.ec2.send(new CreateTagsCommand({ Resources: [image.ImageId!, ...snapshots], Tags: tagList(oursTags(ours)) })),
  );
  const begun = { at: Date.now(), imageId: image.ImageId!, volumes: snapshots.length };
  // Were it waited for in full, the test would not end.
  const { note } = await remove({ ours, begun, notYetVisible: 3_600_000 });
  expect(note).toContain(image.ImageId);
  expect(await left(ours)).toEqual([]);
});

test('a call without an answer is looked for as long as it may take to be seen', async () => {
  const ours = newOurs();
  const Tags = tagList(oursTags(ours));
  atFifthReading(() =>
    takeImage(rig, id, `unanswered ${ours.run}`, {
      TagSpecifications: [
        { ResourceType: 'image', Tags },
        { ResourceType: 'snapshot', Tags },
      ],
    }),
  );
  const begun = { at: Date.now(), volumes: 1 };
  const { note } = await remove({ ours, begun, notYetVisible: 10_000 });
  expect(note).toMatch(/^removed ami-/);
  expect(Date.now() - begun.at).toBeGreaterThanOrEqual(10_000);
  expect(await left(ours)).toEqual([]);

  // Begun long ago: it would be there.
  const again = await remove({
    ours,
    begun: { at: 0, volumes: 1 },
    notYetVisible: 3_600_000,
  });
  expect(again.note).toBe('nothing was there');
});

const asked = (action: string) =>
  rig.aws.control.calls({ action }).findLast(({ params }) => JSON.stringify(params).includes('DryRun'))?.params;

test('the permission is asked for with all that is asked for later: tags, profile, key, groups, address', async () => {
  const image = await takeImage(rig, id, `asked for ${(count += 1)}`);
  // Networks are not this sandbox's, and no answer is needed for what is asked.
  for (const action of ['DescribeSecurityGroups', 'RunInstances'])
    rig.aws.control.onCall(action, 'before', () => {
      throw new AwsFault('DryRunOperation', 'Request would have succeeded, but DryRun flag is set.', 412);
    });
  const migration = machineRestore.parse({
    kind: 'machine-restore',
    id: 'asked-for',
    from: { image: image.ImageId },
    instance: {
      type: 't3.large',
      securityGroups: ['sg-0123456789abcdef0'],
      key: 'a-key',
      profile: 'a-profile',
      privateIp: '172.31.0.77',
      tags: { team: 'ci' },
    },
  });
  await activity().run(preflightMachineRestore, { migration });
  const restore = JSON.stringify(asked('RunInstances'));
  for (const part of [
    'sg-0123456789abcdef0',
    'a-key',
    'a-profile',
    '172.31.0.77',
    '"team"',
    'cutover:migration',
    'volume',
  ])
    expect(restore).toContain(part);
  expect(restore).not.toContain('"ClientToken":"cutover-');

  for (const [method, action] of [
    ['image', 'CreateImage'],
    ['snapshots', 'CreateSnapshots'],
  ] as const) {
    const backup = { kind: 'machine-backup', id: 'asked-for', instance: id, method, tags: { team: 'ci' } };
    await activity().run(preflightMachineBackup, { migration: machineBackup.parse(backup) });
    const params = JSON.stringify(asked(action));
    for (const part of ['"team"', 'cutover:migration', 'snapshot']) expect(params).toContain(part);
  }
});

test('without an old address, those that a file names by itself are enough, as they are for the step', async () => {
  const gone = await rig.aws.control.machines.create({ name: 'gone' });
  const image = await takeImage(rig, gone.instanceId, `of one that is gone ${(count += 1)}`);
  await rig.ec2.send(new TerminateInstancesCommand({ InstanceIds: [gone.instanceId] }));
  await eventually(
    () => rig.ec2.send(new DescribeInstancesCommand({ InstanceIds: [gone.instanceId] })),
    ({ Reservations = [] }) => Reservations[0]?.Instances?.[0]?.State?.Name === 'terminated',
  );
  const outcome = async (...also: Record<string, string>[]) => {
    const steps = also.map((given, index) => ({ name: `a${index}`, type: 'replace-addresses', also: given }));
    const file = { kind: 'machine-restore', id: 'r6', from: { image: image.ImageId }, steps };
    const report = (await activity().run(preflightMachineRestore, {
      migration: machineRestore.parse({ ...file, instance: { type: 't3.large' } }),
    })) as PreflightReport;
    return report.checks.find((check) => check.id === 'R6')?.result;
  };
  expect(await outcome({ 'old.example.org': 'new.example.org' })).toBe('pass');
  expect(await outcome({ 'old.example.org': 'new.example.org' }, {})).toBe('fail');
});
