/** A machine's backup: taken, held and let go again, aborted, killed in the middle, and older ones deleted as a whole. */
import { CreateImageCommand, RebootInstancesCommand } from '@aws-sdk/client-ec2';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import type { MigrationHandle } from '../client/index.ts';
import { AwsFault, type Aws } from '../sandbox/aws/index.ts';
import { furnishMachines } from '../sandbox/furnish-machines.ts';
import { begin, example, machineWorker, Machines, openMachinesAws, problemsOf } from './stage/machines.ts';
import { endFirstAttempts, isSecondAttempt, named } from './stage/second-attempt.ts';
import { isDone, Stage, until, untilStatus } from './stage/stage.ts';
import type { WorkerProcess } from './stage/worker-process.ts';

let stage: Stage;
let aws: Aws;
let machines: Machines;
let worker: WorkerProcess;
/** Of the machine. */
let id: string;

beforeAll(async () => {
  stage = await Stage.open();
  aws = await openMachinesAws(stage);
  machines = new Machines(stage, aws);
  id = await furnishMachines(aws);
  worker = await stage.worker(machineWorker(aws));
});
beforeEach(async () => {
  if (!isSecondAttempt()) return;
  await endFirstAttempts(stage.client);
  // Ends the commands and guards of the first attempt.
  await machines.ec2().send(new RebootInstancesCommand({ InstanceIds: [id] }));
  const isUp = () => aws.control.machines.run(id, 'rm -rf /run/cutover /run/app.held').catch(() => undefined);
  await until('the machine is up', async () => (await isUp())?.code === 0);
  if (worker.exit) worker = await stage.worker(machineWorker(aws));
});
afterEach(() => {
  aws.control.reset();
  aws.control.setTiming({ imagePending: 100, snapshotPending: 100 });
});
afterAll(() => stage.close());

/** `before` writes a line when it holds, `after` one when it lets go: the machine itself tells what was done to it. */
const HOLD = [{ name: 'hold', run: 'echo hold >> /var/held.log; touch /var/held', timeout: '20s' }];
const RELEASE = [{ name: 'release', run: 'echo release >> /var/held.log; rm -f /var/held', timeout: '20s' }];

const backup = (name: string, more: Record<string, unknown> = {}): Promise<MigrationHandle> =>
  begin(stage, { kind: 'machine-backup', id: name, instance: id, ...more });
const held = () => aws.control.machines.readFile(id, '/var/held') !== undefined;
const heldLog = () => (aws.control.machines.readFile(id, '/var/held.log') ?? '').trim().split('\n').filter(Boolean);
const isParked = (s: { phase: string }) => s.phase === 'needs-operator';

async function clearLog(): Promise<void> {
  await aws.control.machines.run(id, 'rm -f /var/held.log /var/held');
}

async function killIn(action: string, phase: 'before' | 'after'): Promise<() => Promise<void>> {
  let hit = false;
  const off = aws.control.onCall(action, phase, async ({ params }) => {
    // The preflight's own question is no attempt.
    if (hit || 'DryRun' in params) return;
    hit = true;
    await worker.kill();
  });
  return async () => {
    await until(`the worker was killed in ${action}`, async () => hit);
    off();
  };
}

test('the example as it stands: an image of the machine that was held, and nobody holds it afterwards', async () => {
  const status = await untilStatus(await begin(stage, example('machine-backup.yaml')), 'done', isDone);
  expect(status.report['backup']).toMatchObject({ instance: id, consistency: 'application', snapshots: [{}] });
  const image = (await machines.images('services-machine')).find(({ Name }) => Name !== 'services-machine-sandbox');
  expect(image?.State).toBe('available');
  const tags = Object.fromEntries((image?.Tags ?? []).map(({ Key, Value }) => [Key, Value]));
  expect(tags).toMatchObject({ 'cutover:consistency': 'application', 'cutover:instance': id });
  const [call] = aws.control.calls({ action: 'CreateImage' }).slice(-1);
  expect(JSON.stringify(call?.params)).toMatch(/NoReboot":"?true/);
  expect((await aws.control.machines.run(id, 'ls /run/app.held')).code).not.toBe(0);
  expect(status.report['retention']).toMatchObject({ deleted: [] });
});

test('aborted while it is taken, all of it is gone; then again, to its end', async () => {
  aws.control.setTiming({ imagePending: 60_000, snapshotPending: 60_000 });
  const first = await backup('again');
  await until('it is being taken', async () => (await machines.images('again')).length > 0);
  await untilStatus(first, 'it waits', (s) => s.step === 'wait');
  await first.abort({ by: 'test', reason: 'wrong hour' });
  await untilStatus(first, 'aborted', (s) => s.phase === 'aborted');
  expect(await machines.images('again')).toEqual([]);
  expect(await machines.snapshots('again')).toEqual([]);
  aws.control.setTiming({ imagePending: 100, snapshotPending: 100 });
  await untilStatus(await backup('again'), 'done', isDone);
  expect(await machines.images('again')).toHaveLength(1);
});

test('killed in CreateImage: what was begun is adopted, the machine let go once', async () => {
  await clearLog();
  const killed = await killIn('CreateImage', 'after');
  const handle = await backup('killed', { before: HOLD, after: RELEASE });
  await killed();
  expect(held()).toBe(true);
  worker = await stage.worker(machineWorker(aws));
  const status = await untilStatus(handle, 'done', isDone);
  expect(await machines.images('killed')).toHaveLength(1);
  expect(heldLog()).toEqual(['hold', 'release']);
  expect(status.report['backup']).toMatchObject({ consistency: 'application' });
});

test('killed in CreateSnapshots: one set of snapshots, of one moment', async () => {
  const killed = await killIn('CreateSnapshots', 'after');
  const handle = await backup('killed-set', { method: 'snapshots' });
  await killed();
  worker = await stage.worker(machineWorker(aws));
  const status = await untilStatus(handle, 'done', isDone);
  expect(await machines.snapshots('killed-set')).toHaveLength(1);
  expect(status.report['backup']).toMatchObject({ method: 'snapshots', consistency: 'crash' });
});

test('the worker dies between freeze and image: the machine lets itself go, and the backup does not pass for more than it is', async () => {
  await clearLog();
  // A short guard; the worker is away until it has fired.
  const killed = await killIn('CreateImage', 'before');
  const short = [{ ...HOLD[0]!, timeout: '1s' }];
  const handle = await backup('guarded', { before: short, after: RELEASE, guard: '31s' });
  await killed();
  expect(held()).toBe(true);
  await until('the machine lets itself go', async () => !held(), 90_000);
  worker = await stage.worker(machineWorker(aws));
  const parked = await untilStatus(handle, 'asked', isParked);
  expect(parked.operator).toMatchObject({ step: 'consistent', choices: ['retry', 'skip', 'abort'] });
  expect(parked.operator?.reason).toMatch(/only crash-consistent.*guard/);
  expect(heldLog()).toEqual(['hold', 'release']);
  await handle.retry({ by: 'test' });
  const status = await untilStatus(handle, 'done', isDone);
  expect(status.report['backup']).toMatchObject({ consistency: 'application' });
  expect(await machines.images('guarded')).toHaveLength(1);
  expect(heldLog()).toEqual(['hold', 'release', 'hold', 'release']);
});

test('a machine that was restarted after it was frozen was not held: the operator is asked', async () => {
  await clearLog();
  // What a restart does to the freeze: /run is empty, and so nobody knows of it.
  const off = aws.control.onCall('CreateImage', 'before', async ({ params }) => {
    if (!JSON.stringify(params).includes('DryRun')) await aws.control.machines.run(id, 'rm -rf /run/cutover');
  });
  const handle = await backup('restarted', { before: HOLD, after: RELEASE });
  const parked = await untilStatus(handle, 'asked', isParked);
  expect(parked.operator?.step).toBe('consistent');
  expect(parked.operator?.reason).toMatch(/only crash-consistent.*was it restarted/);
  expect(heldLog()).toEqual(['hold', 'release']);
  off();
  await handle.skip({ by: 'test' });
  const status = await untilStatus(handle, 'done', isDone);
  expect(status.report['backup']).toMatchObject({ consistency: 'crash' });
});

test('CreateImage is refused: the machine is let go before anybody is asked', async () => {
  await clearLog();
  const off = aws.control.onCall('CreateImage', 'before', async ({ params }) => {
    // The preflight's own question is answered as always.
    if (JSON.stringify(params).includes('DryRun')) return;
    throw new AwsFault('UnauthorizedOperation', 'You are not authorized to perform this operation.', 403);
  });
  const handle = await backup('refused', { before: HOLD, after: RELEASE });
  const parked = await untilStatus(handle, 'parked', isParked);
  expect(parked.operator).toMatchObject({ step: 'take', errorType: 'cutover.Denied' });
  expect(heldLog()).toEqual(['hold', 'release']);
  expect(held()).toBe(false);
  off();
  await handle.abort({ by: 'test' });
  await untilStatus(handle, 'aborted', (s) => s.phase === 'aborted');
  expect(await machines.images('refused')).toEqual([]);
});

test('aborted while before runs: it is ended, and after is run', async () => {
  await clearLog();
  const hang = [{ name: 'hold', run: 'touch /var/held; echo hold >> /var/held.log; sleep 600', timeout: '10m' }];
  const handle = await backup('hangs', { before: hang, after: RELEASE, guard: '15m' });
  await until('it holds', async () => held());
  await handle.abort({ by: 'test' });
  const status = await untilStatus(handle, 'aborted', (s) => s.phase === 'aborted');
  // CreateImage was never called, so nothing of it has to be looked for.
  expect(status.undo.map((undo) => undo.id)).not.toContain('backup');
  expect(heldLog()).toEqual(['hold', 'release']);
  expect((await aws.control.machines.run(id, 'pgrep -f "sleep 600" || true')).stdout.trim()).toBe('');
});

test('an image that fails is taken anew at a retry', async () => {
  aws.control.machines.failImages({ message: 'no room' });
  const handle = await backup('unlucky');
  const parked = await untilStatus(handle, 'parked', isParked);
  expect(parked.operator).toMatchObject({ step: 'wait', errorType: 'cutover.ServiceFailed' });
  expect(parked.operator?.reason).toMatch(/no room/);
  await handle.retry({ by: 'test' });
  await untilStatus(handle, 'done', isDone);
  expect((await machines.images('unlucky')).map(({ State }) => State)).toEqual(['available']);
});

test('an image that is taken anew and was not held does not pass for more than it is: the operator is asked again', async () => {
  await clearLog();
  aws.control.machines.failImages({ message: 'no room' });
  const handle = await backup('unlucky-held', { before: HOLD, after: RELEASE });
  const parkedAt = (step: string, reason: RegExp) =>
    untilStatus(handle, step, (s) => isParked(s) && s.operator?.step === step && reason.test(s.operator.reason));
  await parkedAt('wait', /no room/);
  const off = aws.control.onCall('CreateImage', 'before', async () => {
    await aws.control.machines.run(id, 'rm -rf /run/cutover');
  });
  await handle.retry({ by: 'test' });
  const asked = await parkedAt('consistent', /-w2 is only crash-consistent.*was it restarted/);
  expect(asked.operator?.choices).toEqual(['retry', 'skip', 'abort']);
  await handle.retry({ by: 'test' });
  await parkedAt('consistent', /-c3 is only crash-consistent/);
  off();
  expect(heldLog()).toEqual(['hold', 'release', 'hold', 'release', 'hold', 'release']);
  await handle.skip({ by: 'test' });
  const status = await untilStatus(handle, 'done', isDone);
  expect(status.report['backup']).toMatchObject({ consistency: 'crash' });
  const consistent = status.steps.find((step) => step.id === 'consistent');
  expect(consistent).toMatchObject({ state: 'skipped', note: expect.stringMatching(/-c3 is only crash-consistent/) });
  expect(await machines.images('unlucky-held')).toHaveLength(1);
});

test('retention deletes an image with its snapshots, killed in the middle of it, and no other’s', async () => {
  await untilStatus(await backup('kept'), 'first done', isDone);
  const [first] = await machines.images('kept');
  // By the same migration, and not of this machine; and of this machine, and not by this migration.
  const others = await Promise.all([
    imageOf({ 'cutover:migration': named('kept'), 'cutover:run': 'other', 'cutover:instance': 'i-0123456789abcdef0' }),
    imageOf({ 'cutover:migration': named('kept-too'), 'cutover:run': 'other', 'cutover:instance': id }),
  ]);
  const killed = await killIn('DeregisterImage', 'after');
  const handle = await backup('kept', { retention: { keepLast: 1 } });
  await killed();
  expect((await machines.images('kept')).map(({ ImageId }) => ImageId)).not.toContain(first?.ImageId);
  worker = await stage.worker(machineWorker(aws));
  const status = await untilStatus(handle, 'second done', isDone);
  const { imageId } = status.report['backup'] as { imageId: string };
  const left = await machines.images();
  expect(left.map(({ ImageId }) => ImageId)).toEqual(expect.arrayContaining([imageId, ...others]));
  const used = left.flatMap(({ BlockDeviceMappings = [] }) => BlockDeviceMappings.map(({ Ebs }) => Ebs?.SnapshotId));
  // None is left that no image uses.
  const snapshots = [...(await machines.snapshots('kept')), ...(await machines.snapshots('kept-too'))];
  expect(snapshots).toHaveLength(3);
  for (const { SnapshotId } of snapshots) expect(used).toContain(SnapshotId);
});

/** Somebody's image of the machine. */
async function imageOf(tags: Record<string, string>): Promise<string> {
  const Tags = Object.entries({ ...tags, 'cutover:method': 'image' }).map(([Key, Value]) => ({ Key, Value }));
  const { ImageId = '' } = await machines.ec2().send(
    new CreateImageCommand({
      InstanceId: id,
      Name: `of ${Object.values(tags).join(' ')}`,
      NoReboot: true,
      TagSpecifications: [
        { ResourceType: 'image', Tags },
        { ResourceType: 'snapshot', Tags },
      ],
    }),
  );
  await until('it is available', async () =>
    (await machines.images()).some((image) => image.ImageId === ImageId && image.State === 'available'),
  );
  return ImageId;
}

test('bad values in the file are refused with what is expected', async () => {
  const refused = async (more: Record<string, unknown>, text: RegExp) =>
    expect(await problemsOf(backup('bad', more))).toMatch(text);
  await refused({ instance: 'web-1' }, /instance id such as/);
  await refused({ method: 'snapshots', reboot: true }, /without a reboot/);
  await refused({ after: RELEASE }, /nothing to undo without before/);
  await refused({ before: HOLD, after: RELEASE, guard: '20s' }, /at least 50s/);
  await refused({ tags: { 'cutover:run': 'x' } }, /do not begin with cutover/);
});

test('several machines with the tags are no machine', async () => {
  await aws.control.machines.create({ name: 'twin', tags: { role: named('twin') } });
  await aws.control.machines.create({ name: 'twin', tags: { role: named('twin') } });
  const handle = await backup('twins', { instance: { tags: { role: named('twin') } } });
  const parked = await untilStatus(handle, 'parked', isParked);
  expect(parked.operator?.reason).toMatch(/2 machines: i-/);
  await handle.abort({ by: 'test' });
  await untilStatus(handle, 'aborted', (s) => s.phase === 'aborted');
});
