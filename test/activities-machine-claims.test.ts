/** What is somebody else's, or may be: a machine that another backup holds, a snapshot in use, a machine without our tags. */
import {
  EC2Client,
  TerminateInstancesCommand,
  type DescribeImagesResult,
  type DescribeSnapshotsResult,
} from '@aws-sdk/client-ec2';
import { MockActivityEnvironment } from '@temporalio/testing';
import { DefaultLogger } from '@temporalio/worker';
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import { closeAwsClients } from '../activities/aws/clients.ts';
import { deregister } from '../activities/ec2/images.ts';
import { oursTags, tagList, type Ours } from '../activities/ec2/tags.ts';
import { findImageBackup } from '../activities/machine/backups.ts';
import { freezeScript, HELD_BY_ANOTHER, thawScript, type FreezePlan } from '../activities/machine/freeze-scripts.ts';
import { removeMachineBackup } from '../activities/machine/remove-backup.ts';
import { retainMachineBackups, type Retained } from '../activities/machine/retain-backups.ts';
import { terminateMachine } from '../activities/machine/terminate.ts';
import {
  eventually,
  inState,
  launch,
  refusal,
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
  vi.restoreAllMocks();
  expect(rig.aws.control.failures()).toEqual([]);
  rig.aws.control.reset();
});
afterAll(async () => {
  closeAwsClients();
  await rig?.end();
});

const activity = (info: ConstructorParameters<typeof MockActivityEnvironment>[0] = {}) =>
  new MockActivityEnvironment(info, { logger: new DefaultLogger('ERROR') });
const newOurs = (): Ours => ({ migrationId: `claims-${(count += 1)}`, run: 'this-run' });
const run = (script: string) => rig.aws.control.machines.run(id, script);

/** A freeze that leaves a line for all that it does. */
function planNamed(name: string, more: Partial<FreezePlan> = {}): FreezePlan {
  const command = (what: string) => ({ name: what, run: `echo ${what} ${name} >> /var/claims.log`, timeout: 10_000 });
  const key = `${name}-${(count += 1)}`;
  return { key, before: [command('hold')], after: [command('release')], guardMs: 600_000, ...more };
}

async function done(): Promise<string[]> {
  const { stdout } = await run('cat /var/claims.log; rm -f /var/claims.log');
  return stdout.trim().split('\n');
}

test('a machine that another backup holds is not frozen, and not let go by that', async () => {
  await run('rm -rf /run/cutover /var/claims.log');
  const [a, b] = [planNamed('a'), planNamed('b')];
  expect(await run(freezeScript(a))).toMatchObject({ code: 0 });
  const refused = await run(freezeScript(b));
  expect(refused).toMatchObject({ code: HELD_BY_ANOTHER });
  expect(refused.stderr).toContain(`another backup holds this machine: /run/cutover/${a.key}-freeze`);
  // Nor one that would let go of nothing itself.
  expect(await run(freezeScript(planNamed('c', { after: [] })))).toMatchObject({ code: HELD_BY_ANOTHER });
  expect((await run(thawScript(b, false))).stdout).toBe('thawed by: nobody, it was never begun\n');
  expect(await done()).toEqual(['hold a']);
  expect((await run(thawScript(a, true))).stdout).toBe('thawed by: asked\n');

  // After that it is free.
  const next = planNamed('next');
  expect(await run(freezeScript(next))).toMatchObject({ code: 0 });
  expect((await run(thawScript(next, true))).stdout).toBe('thawed by: asked\n');
  expect(await run(freezeScript(planNamed('d', { after: [] })))).toMatchObject({ code: 0 });
  expect(await done()).toEqual(['release a', 'hold next', 'release next', 'hold d']);
});

test('of a machine that was restarted, and is held by another backup since, that one is not let go', async () => {
  await run('rm -rf /run/cutover /var/claims.log');
  const [a, b] = [planNamed('a'), planNamed('b')];
  expect(await run(freezeScript(a))).toMatchObject({ code: 0 });
  await run('rm -rf /run/cutover');
  expect(await run(freezeScript(b))).toMatchObject({ code: 0 });
  expect(await run(thawScript(a, true))).toMatchObject({ code: HELD_BY_ANOTHER });
  expect(await done()).toEqual(['hold a', 'hold b']);
  expect((await run(thawScript(b, true))).stdout).toBe('thawed by: asked\n');
  expect((await run(thawScript(a, true))).stdout).toBe('thawed by: restart\n');
  expect(await done()).toEqual(['release b', 'release a']);
});

test('a thaw ends the command of before, and no other process that has its number by now', async () => {
  await run('rm -rf /run/cutover /var/claims.log');
  const before = [{ name: 'hang', run: 'sleep 1234', timeout: 600_000 }];
  const plan = planNamed('killed', { before });
  const current = `/run/cutover/${plan.key}-freeze/current`;
  await run(`cat > /root/freeze <<'END_OF_FREEZE'\n${freezeScript(plan)}\nEND_OF_FREEZE
setsid bash /root/freeze </dev/null >/dev/null 2>&1 &`);
  await eventually(
    () => run(`test -s ${current} && pgrep -f 'sleep 1234'`),
    ({ code }) => code === 0,
  );
  // What is left of a freeze script that was killed, with a number that somebody else got afterwards.
  const { stdout: other } = await run(`pkill -KILL -f /root/freeze; pkill -KILL -f 'sleep 1234'
setsid sleep 4321 </dev/null >/dev/null 2>&1 &
sed -i "s/^[0-9]*/$!/" ${current}; echo "$!"`);
  expect((await run(`cat ${current}`)).stdout).toContain(other.trim());
  expect((await run(thawScript(plan, true))).stdout).toBe('thawed by: asked\n');
  expect(await run('pkill -f "sleep 4321"')).toMatchObject({ code: 0 });
});

/** An image of the machine that an earlier run has made. */
async function earlier(ours: Ours): Promise<{ imageId: string; snapshotId: string }> {
  const Tags = tagList({
    ...oursTags({ ...ours, run: 'earlier' }),
    'cutover:instance': id,
    'cutover:method': 'image',
  });
  const image = await takeImage(rig, id, `earlier ${(count += 1)}`, {
    TagSpecifications: [
      { ResourceType: 'image', Tags },
      { ResourceType: 'snapshot', Tags },
    ],
  });
  return { imageId: image.ImageId!, snapshotId: image.BlockDeviceMappings![0]!.Ebs!.SnapshotId! };
}

const inUse = () =>
  rig.aws.control.failNext({ action: 'DeleteSnapshot', code: 'InvalidSnapshot.InUse', status: 400, times: 1_000 });

test('retention: a snapshot that stays in use is kept and named, and the next run deletes it', async () => {
  const ours = newOurs();
  const made = [await earlier(ours), await earlier(ours)];
  const args = { ours, instanceId: id, policy: { keepLast: 1, timeZone: 'UTC' }, letsGo: 200 };
  inUse();
  const first = (await activity().run(retainMachineBackups, args)) as Retained;
  const [gone] = first.deleted;
  const { snapshotId } = made.find(({ imageId }) => imageId === gone?.id)!;
  const because = 'an image that cutover did not make uses it';
  expect(first.kept).toEqual([expect.anything(), { id: snapshotId, keep: true, because }]);
  expect(first.warnings).toEqual([`retention: ${snapshotId} stays: ${because}`]);
  rig.aws.control.reset();
  const second = (await activity().run(retainMachineBackups, args)) as Retained;
  expect(second).toMatchObject({ kept: [{}], deleted: [], warnings: [] });
  expect(rig.aws.control.calls({ action: 'DeleteSnapshot' }).at(-1)?.params).toMatchObject({ SnapshotId: snapshotId });
});

test('an undo does not wait for ever for a snapshot that is in use', async () => {
  const ours = newOurs();
  const { snapshotId } = await earlier(ours);
  inUse();
  const undo = activity().run(removeMachineBackup, { ours: { ...ours, run: 'earlier' }, letsGo: 200 });
  expect(await refusal(undo)).toContain(`${snapshotId}: an image that this run did not make uses it`);
});

test('what AWS refuses for a reason that we do not know is tried again, and is the operator’s after a while', async () => {
  const { imageId } = await earlier(newOurs());
  rig.aws.control.failNext({ action: 'DeregisterImage', code: 'NewFromAws', status: 400, times: 2 });
  const since = (scheduledTimestampMs: number) => activity({ scheduledTimestampMs }).run(deregister, imageId);
  await expect(since(Date.now())).rejects.toMatchObject({ nonRetryable: false });
  await expect(since(Date.now() - 600_000)).rejects.toMatchObject({
    nonRetryable: true,
    type: 'cutover.ServiceFailed',
  });
});

test('a machine that has lost our tags is not taken for gone', async () => {
  const image = await takeImage(rig, id, `launched ${(count += 1)}`);
  const { InstanceId: instanceId = '' } = await launch(rig, image.ImageId!);
  const args = { ours: newOurs(), begun: { at: 0, instanceId } };
  await expect(activity().run(terminateMachine, args)).rejects.toMatchObject({
    type: 'cutover.NotOurs',
    message: `${instanceId}, which this run has made, is running, and has no tags of this run`,
  });
  await rig.ec2.send(new TerminateInstancesCommand({ InstanceIds: [instanceId] }));
  await inState(rig, instanceId, 'terminated');
  expect(await activity().run(terminateMachine, args)).toMatchObject({ note: 'no machine was there' });
});

test('an image with a snapshot that recovers, or whose state is new, is neither complete nor a broken one', async () => {
  const { imageId } = await earlier(newOurs());
  expect(await activity().run(findImageBackup, imageId)).toMatchObject({ complete: true, pending: false });
  const real = EC2Client.prototype.send;
  for (const [State, pending] of [
    ['recovering', true],
    ['new-at-aws', true],
    ['error', false],
  ] as const) {
    vi.spyOn(EC2Client.prototype, 'send').mockImplementation(async function (this: EC2Client, ...args: unknown[]) {
      const answer = (await Reflect.apply(real, this, args)) as unknown as DescribeSnapshotsResult;
      return answer.Snapshots
        ? { ...answer, Snapshots: answer.Snapshots.map((snapshot) => ({ ...snapshot, State })) }
        : answer;
    } as never);
    expect(await activity().run(findImageBackup, imageId)).toMatchObject({ complete: false, pending });
    vi.restoreAllMocks();
  }
});

test('an image that somebody disabled is no backup to restore from, and none to delete', async () => {
  const { imageId } = await earlier(newOurs());
  const real = EC2Client.prototype.send;
  vi.spyOn(EC2Client.prototype, 'send').mockImplementation(async function (this: EC2Client, ...args: unknown[]) {
    const answer = (await Reflect.apply(real, this, args)) as unknown as DescribeImagesResult;
    return answer.Images
      ? { ...answer, Images: answer.Images.map((image) => ({ ...image, State: 'disabled' })) }
      : answer;
  } as never);
  const found = await activity().run(findImageBackup, imageId);
  vi.restoreAllMocks();
  expect(found).toMatchObject({ complete: false, pending: true, problem: 'image is disabled' });
});
