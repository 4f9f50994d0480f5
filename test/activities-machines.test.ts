/** What an abort leaves: commands whose activity is cancelled, and backups that are seen late. */
import { CreateTagsCommand, DescribeImagesCommand, DescribeSnapshotsCommand } from '@aws-sdk/client-ec2';
import { CancelCommandCommand, ListCommandsCommand } from '@aws-sdk/client-ssm';
import { ActivityCancellationDetails } from '@temporalio/common';
import { MockActivityEnvironment } from '@temporalio/testing';
import { DefaultLogger } from '@temporalio/worker';
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import { closeAwsClients } from '../activities/aws/clients.ts';
import { oursTags, tagList, type Ours } from '../activities/ec2/tags.ts';
import { removeMachineBackup } from '../activities/machine/remove-backup.ts';
import { commentOf } from '../activities/ssm/sent-commands.ts';
import { runOnMachine, type CommandArgs } from '../activities/ssm/run-command.ts';
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
  expect(rig.aws.control.failures()).toEqual([]);
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
