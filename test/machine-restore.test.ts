/** A machine from its backup: the drill as it stands, the machine lost and made again, killed in the middle, held up. */
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { TerminateInstancesCommand } from '@aws-sdk/client-ec2';
import { ApplicationFailure } from '@temporalio/common';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import type { MigrationHandle, MigrationStatus } from '../client/index.ts';
import type { Aws } from '../sandbox/aws/index.ts';
import { seedServicesMachine, type ServicesMachine } from '../sandbox/aws/ec2/services-machine.ts';
import { furnishMachines } from '../sandbox/furnish-machines.ts';
import { machineRestore } from '../spec/kind-machine-restore.ts';
import { switchTo, undoSwitchUndo } from '../workflows/machine-switch.ts';
import type { Run } from '../workflows/runbook.ts';
import { begin, example, machineWorker, Machines, openMachinesAws, problemsOf } from './stage/machines.ts';
import { endFirstAttempts, isSecondAttempt, named } from './stage/second-attempt.ts';
import { atGate, isDone, Stage, until, untilStatus } from './stage/stage.ts';
import type { WorkerProcess } from './stage/worker-process.ts';

let stage: Stage;
let aws: Aws;
let machines: Machines;
let worker: Promise<WorkerProcess>;
/** Of the example's machine. */
let source: string;

beforeAll(async () => {
  stage = await Stage.open();
  aws = await openMachinesAws(stage);
  machines = new Machines(stage, aws);
  source = await furnishMachines(aws);
  worker = stage.worker(machineWorker(aws));
  await worker;
});
beforeEach(async () => {
  if (!isSecondAttempt()) return;
  await endFirstAttempts(stage.client);
  const left = (await machines.living()).map(({ InstanceId = '' }) => InstanceId).filter((id) => id !== source);
  if (left.length > 0) await machines.ec2().send(new TerminateInstancesCommand({ InstanceIds: left }));
  if ((await worker).exit) worker = stage.worker(machineWorker(aws));
  await worker;
});
afterEach(() => aws.control.reset());
afterAll(() => stage.close());

const restore = (id: string, more: Record<string, unknown> = {}): Promise<MigrationHandle> =>
  begin(stage, { kind: 'machine-restore', id, from: { latestOf: { migration: 'services-machine' } }, ...more });
const isParked = (s: MigrationStatus) => s.phase === 'needs-operator';
const isAborted = (s: MigrationStatus) => s.phase === 'aborted';
const run = (id: string, script: string) => aws.control.machines.run(id, script);

interface Restored {
  instanceId: string;
  privateIp: string;
  publicIp: string;
  recoverySeconds: number;
  times: { step: string; seconds: number }[];
  skipped?: string[];
}
const restored = (status: MigrationStatus) => status.report['restore'] as Restored;
const stepReport = (status: MigrationStatus, name: string) => (status.report['steps'] as Record<string, any>)[name];

/** What the machine holds, right before it is terminated: afterwards nobody can look. */
function lookAtTheEnd(script: string): { seen: Map<string, string>; off: () => void } {
  const seen = new Map<string, string>();
  const off = aws.control.onCall('TerminateInstances', 'before', async ({ params }) => {
    const id = /i-[0-9a-f]{17}/.exec(JSON.stringify(params))?.[0] ?? '';
    if (!seen.has(id)) seen.set(id, (await run(id, script)).stdout);
  });
  return { seen, off };
}

/** @returns waits until it is killed, and starts another one */
function killIn(action: string, phase: 'before' | 'after'): () => Promise<void> {
  let hit = false;
  const off = aws.control.onCall(action, phase, async ({ params }) => {
    // The preflight's own question is no attempt.
    if (hit || 'DryRun' in params) return;
    hit = true;
    await (await worker).kill();
  });
  return async () => {
    await until(`the worker was killed in ${action}`, async () => hit);
    off();
    worker = stage.worker(machineWorker(aws));
    await worker;
  };
}

test('the example as it stands: the article’s steps in order, each proven; then its own machine is gone, and no other', async () => {
  const old = (await machines.living()).find(({ InstanceId }) => InstanceId === source)!;
  const { seen } = lookAtTheEnd('cat /etc/default/replicated*; app status; list-builds; ls /opt/nomad/server/raft');
  const status = await untilStatus(await begin(stage, example('machine-restore.yaml')), 'done', isDone);
  expect(status.steps.map(({ id, state }) => `${id} ${state}`)).toEqual(
    `preflight choose launch checks agent stop-app host-name addresses nomad objects start-app answers list-builds
     approve-builds builds report terminate`
      .split(/\s+/)
      .map((id) => `${id} done`),
  );
  const { instanceId, privateIp, publicIp, recoverySeconds } = restored(status);
  expect(recoverySeconds).toBeGreaterThan(0);
  expect([...seen.keys()]).toEqual([instanceId]);
  const end = seen.get(instanceId)!;
  // Its neighbour, whose address begins like its own, is still its neighbour.
  expect(end.split(`${old.PrivateIpAddress}9`)).toHaveLength(2);
  expect(end.replaceAll(`${old.PrivateIpAddress}9`, '')).not.toContain(old.PrivateIpAddress);
  expect(end).not.toContain(old.PublicIpAddress);
  expect(end).toContain(`PRIVATE_ADDRESS=${privateIp}\nPUBLIC_ADDRESS=${publicIp}\n`);
  expect(end).toContain('app is running');
  expect(end).toMatch(/project\/1234\n.*project\/1235\n/);
  expect(end).not.toContain('project/1236');
  expect(stepReport(status, 'addresses').files).toMatchObject([
    { path: '/etc/default/replicated', count: 3 },
    { path: '/etc/default/replicated-operator', count: 3 },
  ]);
  expect(stepReport(status, 'addresses').missing).toEqual(['/etc/sysconfig/*']);
  expect(stepReport(status, 'builds').items).toMatchObject([{ item: expect.stringMatching(/1236$/), done: true }]);
  expect(status.warnings.join('\n')).toMatch(/\/opt\/circleci\/objects: 2 files.*on the machine's own disk/);
  expect((await machines.living()).map(({ InstanceId }) => InstanceId)).toEqual([source]);
  expect(await machines.volumes('services-restore-drill')).toEqual([]);
});

/** All that is worth a backup on the machine, but for what a restore changes. */
const CONTENT = `find /var/lib/circleci /opt/circleci /etc/circleci /usr/local /srv -type f | sort | xargs sha256sum`;

test('backed up, lost, restored: aborted first and nothing is left of it; then all of it is there again', async () => {
  const old: ServicesMachine = await seedServicesMachine(aws.control.machines, { name: 'lost', objectsVolume: true });
  await run(old.instanceId, 'mkdir -p /srv; seq 100000 > /srv/numbers');
  const before = (await run(old.instanceId, CONTENT)).stdout;
  expect(before).toContain('/srv/numbers');
  const backup = { kind: 'machine-backup', id: 'lost-backup', instance: { tags: { Name: 'lost' } } };
  await untilStatus(await begin(stage, backup), 'backed up', isDone);
  await machines.ec2().send(new TerminateInstancesCommand({ InstanceIds: [old.instanceId] }));
  await until('it is gone', async () => (await machines.living()).every((i) => i.InstanceId !== old.instanceId));

  const from = { latestOf: { instance: old.instanceId } };
  const steps = (expected: string) => [
    { name: 'stop', type: 'command', run: 'app stop', verify: { run: 'app status || true', expect: 'is stopped' } },
    { name: 'name', type: 'host-name', read: '. /etc/circleci/app.conf && echo $HOSTNAME', expected },
    { name: 'addresses', type: 'replace-addresses' },
    { name: 'nomad', type: 'remove' },
    { name: 'objects', type: 'object-storage', paths: ['/opt/circleci/objects'] },
    {
      name: 'start',
      type: 'command',
      run: 'app start; echo a-""password',
      verify: { run: 'app status; echo a-""password', expect: 'is running' },
    },
    { name: 'answers', type: 'http', url: 'http://${machine.privateIp}:8800/', expectBody: '"status":"ok"' },
    {
      name: 'builds',
      type: 'clean-up',
      list: old.builds.slice(1),
      // The first one's console is out of order at first.
      each: '[ -e /tmp/mended ] || [ "${ITEM##*/}" != 1235 ] && delete-build "$ITEM" && echo a-""password || { echo "no console" >&2; exit 1; }',
      verify: '! list-builds | grep -qxF "$ITEM"',
    },
  ];
  const wrong = await restore('lost-again', { from, steps: steps('ci.example.org') });
  const parked = await untilStatus(wrong, 'the host name differs', isParked);
  expect(parked.operator).toMatchObject({ step: 'name', errorType: 'cutover.Differs' });
  expect(parked.operator?.remedy).toMatch(/OAuth/);
  await wrong.abort({ by: 'test' });
  await untilStatus(wrong, 'aborted', isAborted);
  expect(await machines.living('lost-again')).toEqual([]);
  expect(await machines.volumes('lost-again')).toEqual([]);

  const handle = await restore('lost-again', { from, steps: steps('circleci.example.com') });
  const gate = await untilStatus(handle, 'asked about the builds', atGate);
  expect(gate.gate).toMatchObject({ id: 'approve-builds' });
  await handle.approve({ by: 'test' });
  const failed = await untilStatus(handle, 'one build is left', isParked);
  expect(failed.operator?.reason).toMatch(/1 of 2 are not cleaned up: \S+1235 \(.*no console/);
  const [made] = await machines.living('lost-again');
  await run(made!.InstanceId!, 'touch /tmp/mended');
  await handle.retry({ by: 'test' });
  const status = await untilStatus(handle, 'done', isDone);
  const { instanceId, privateIp } = restored(status);
  expect(instanceId).toBe(made!.InstanceId);
  expect(stepReport(status, 'builds').items).toMatchObject([{ done: true }, { done: true }]);
  // What a command printed that succeeded is nobody's business.
  const { events } = await stage.client.workflow.getHandle(handle.id).fetchHistory();
  const answers = (events ?? []).flatMap(
    ({ activityTaskCompletedEventAttributes: done }) =>
      done?.result?.payloads?.map(({ data }) => Buffer.from(data ?? []).toString('utf8')) ?? [],
  );
  expect(answers.join(' ')).toContain('commandId');
  expect(answers.join(' ')).not.toContain('a-password');
  expect(JSON.stringify(status)).not.toContain('a-password');
  expect(status.steps.find((step) => step.id === 'start')?.note).toBe('exit code 0, proven');

  const gone = (text: string) =>
    text
      .split('\n')
      .filter((line) => !/builds\/123[56]/.test(line))
      .join('\n');
  expect(gone((await run(instanceId, CONTENT)).stdout)).toBe(gone(before));
  expect((await run(instanceId, 'list-builds')).stdout.trim()).toBe(old.builds[0]);
  const answer = await fetch(`http://${privateIp}:8800/`);
  expect(answer.status).toBe(200);
  expect(await answer.json()).toMatchObject({ status: 'ok', privateAddress: privateIp });
  await machines.ec2().send(new TerminateInstancesCommand({ InstanceIds: [instanceId] }));
}, 180_000);

test('killed in RunInstances, SendCommand and TerminateInstances: one machine, each command once, none left but others’', async () => {
  const foreign = await aws.control.machines.create({
    name: 'of another run',
    tags: { 'cutover:migration': named('killed'), 'cutover:run': 'another' },
  });
  const { seen } = lookAtTheEnd('cat /srv/count');
  const killed = [
    killIn('RunInstances', 'after'),
    killIn('SendCommand', 'after'),
    killIn('TerminateInstances', 'before'),
  ];
  const count = { run: 'mkdir -p /srv; echo once >> /srv/count', verify: { run: 'cat /srv/count' } };
  const handle = await restore('killed', { drill: true, steps: [{ name: 'count', type: 'command', ...count }] });
  for (const nextIsUp of killed) await nextIsUp();
  const status = await untilStatus(handle, 'done', isDone);
  expect([...seen]).toEqual([[restored(status).instanceId, 'once\n']]);
  expect((await machines.living('killed')).map(({ InstanceId }) => InstanceId)).toEqual([foreign.instanceId]);
  const { ended } = await machines.madeBy('killed', { 'cutover:purpose': 'drill' });
  expect(ended).toHaveLength(1);
  await machines.ec2().send(new TerminateInstancesCommand({ InstanceIds: [foreign.instanceId] }));
}, 180_000);

test('an impaired machine is for the operator to look at; an abort terminates it', async () => {
  aws.control.machines.check({ instance: 'impaired' });
  const handle = await restore('impaired');
  const parked = await untilStatus(handle, 'parked', isParked);
  expect(parked.operator).toMatchObject({ step: 'checks', errorType: 'cutover.ServiceFailed' });
  expect(parked.operator?.reason).toMatch(/impaired: .*reachability/);
  expect(await machines.living('impaired')).toHaveLength(1);
  await handle.abort({ by: 'test' });
  await untilStatus(handle, 'aborted', isAborted);
  expect(await machines.living('impaired')).toEqual([]);
});

test('a step that is not proven, and one that is skipped, are never told as done', async () => {
  const steps = [
    { name: 'serve', type: 'command', run: 'true', verify: { run: 'echo stopped', expect: 'running', within: '1s' } },
    { name: 'answers', type: 'http', url: 'http://${machine.privateIp}:8899/', timeout: '2s' },
    { name: 'objects', type: 'object-storage', detect: 'echo nfs /mnt' },
    { name: 'mnt', type: 'object-storage', paths: ['/mnt/objects'] },
  ];
  const handle = await restore('unproven', { drill: true, steps });
  const parkedAt = (step: string) => untilStatus(handle, step, (s) => isParked(s) && s.operator?.step === step);
  const unproven = await parkedAt('serve');
  expect(unproven.operator?.reason).toMatch(/serve ran, and is not proven.*not as expected \(running\).*stopped/s);
  await handle.skip({ by: 'test' });
  expect((await parkedAt('answers')).operator).toMatchObject({ errorType: 'cutover.Differs' });
  await handle.skip({ by: 'test' });
  expect((await parkedAt('objects')).operator?.reason).toMatch(/nfs \/mnt/);
  await handle.skip({ by: 'test' });
  expect((await parkedAt('mnt')).operator?.reason).toMatch(/\/mnt\/objects: is not there: restore it/);
  await handle.skip({ by: 'test' });
  const status = await untilStatus(handle, 'done', isDone);
  expect(restored(status).skipped).toEqual(['serve', 'answers', 'objects', 'mnt']);
  expect(status.warnings.join('\n')).toMatch(/neither done nor proven: serve, answers, objects, mnt/);
  expect(await machines.living('unproven')).toEqual([]);
});

test('the switch: aborted in the middle of it, its hooks are undone, and the machine that users were on stays; then to its end', async () => {
  const log = join(stage.dir, named('switched'));
  const say = (word: string) => ['bash', '-c', `echo ${word} $CUTOVER_TARGET_HOST >> ${log}`];
  const hook = (word: string, more: object = {}) => ({
    type: 'command',
    name: word,
    run: say(word),
    undo: say(`un${word}`),
    ...more,
  });
  const lines = () => (existsSync(log) ? readFileSync(log, 'utf8').trim().split('\n') : []);
  const broken = hook('second', { run: ['bash', '-c', `echo second >> ${log}; exit 1`] });
  const first = await restore('switched', { switch: [hook('first'), broken, hook('third')] });
  expect((await untilStatus(first, 'parked', isParked)).operator).toMatchObject({ step: 'switch' });
  await first.abort({ by: 'test' });
  const aborted = await untilStatus(first, 'aborted', isAborted);
  expect(lines().map((line) => line.split(' ')[0])).toEqual(['first', 'second', 'unsecond', 'unfirst']);
  const [kept, ...more] = await machines.living('switched');
  expect(more).toEqual([]);
  expect(aborted.leftovers).toEqual([expect.stringContaining(`the machine ${kept?.InstanceId} (`)]);
  await machines.ec2().send(new TerminateInstancesCommand({ InstanceIds: [kept!.InstanceId!] }));

  rmSync(log);
  const status = await untilStatus(await restore('switched', { switch: [hook('first')] }), 'done', isDone);
  const [made] = await machines.living('switched');
  expect(lines()).toEqual([`first ${made?.PrivateIpAddress}`]);
  expect(restored(status).instanceId).toBe(made?.InstanceId);
  await machines.ec2().send(new TerminateInstancesCommand({ InstanceIds: [made!.InstanceId!] }));
});

test('hooks that never began are not undone; where nobody told which began, all are', async () => {
  const migration = machineRestore.parse({
    kind: 'machine-restore',
    id: 'switch',
    from: { image: 'ami-0123456789abcdef0' },
    switch: [
      { type: 'command', run: ['true'] },
      { type: 'command', run: ['true'] },
    ],
  });
  const machine = { instanceId: 'i-0123456789abcdef0', privateIp: '10.0.0.1' };
  const before = [0, 1].map((index) => ({ index, undoState: { type: 'command' } }));
  const undone = async (...facts: object[]) => {
    const asked: number[][] = [];
    const from: number[] = [];
    const armed: { id: string; undo: string }[] = [];
    const act = {
      quick: { prepareHooks: { executeWithOptions: async () => before } },
      wait: {
        runHooks: {
          executeWithOptions: async (_: unknown, [args]: [{ from: number }]) => {
            from.push(args.from);
            throw ApplicationFailure.create({ message: 'refused', details: [facts[from.length - 1]] });
          },
        },
        undoHooks: {
          executeWithOptions: async (_: unknown, [{ done }]: [{ done: { index: number }[] }]) => {
            asked.push(done.map(({ index }) => index));
            return { undone: done, left: [] };
          },
        },
      },
    } as unknown as Parameters<typeof switchTo>[1];
    const status = { report: {} };
    const run = {
      status,
      board: { update: (change: (given: typeof status) => void) => change(status) },
      arm: (entry: { id: string; undo: string }) => armed.push(entry),
      step: (_: string, body: () => Promise<unknown>) => body(),
    } as unknown as Run;
    // Each with nothing but what the status carried over.
    for (const _ of facts)
      await expect(switchTo(run, act, migration, { machine, run: 'one' })).rejects.toThrow('refused');
    expect(armed.slice(0, 2)).toMatchObject([
      { id: 'machine', undo: 'keep-machine' },
      { id: 'hooks', undo: 'undo-hooks' },
    ]);
    await undoSwitchUndo(act, migration)({ machine, run: 'one' }, run);
    return { undone: asked[0], from };
  };
  const first = { ...before[0], complete: true };
  expect(await undone({ failedIndex: 0, done: [] })).toEqual({ undone: [], from: [0] });
  expect(await undone({})).toEqual({ undone: [0, 1], from: [0] });
  expect(await undone({ failedIndex: 1, done: [first] }, { failedIndex: 1, done: [] })).toEqual({
    undone: [0],
    from: [0, 1],
  });
});

test('an image that is not whole is not restored from, nor one that is not there', async () => {
  const wanted = async (id: string, from: Record<string, unknown>, text: RegExp) => {
    const handle = await restore(id, { from });
    const parked = await untilStatus(handle, 'parked', isParked);
    expect(parked.operator?.reason).toMatch(text);
    await handle.abort({ by: 'test' });
    await untilStatus(handle, 'aborted', isAborted);
  };
  aws.control.machines.failImages({ message: 'no room' });
  const failed = await begin(stage, { kind: 'machine-backup', id: 'broken', instance: source });
  await untilStatus(failed, 'the backup failed', isParked);
  const [image] = await machines.images('broken');
  await wanted('of-broken', { image: image!.ImageId }, /cannot be restored from: .*no room/);
  await wanted('of-broken-too', { latestOf: { migration: named('broken') } }, /no complete image by broken/);
  await wanted('of-none', { image: 'ami-0123456789abcdef0' }, /there is none in this account/);
  await failed.abort({ by: 'test' });
  await untilStatus(failed, 'aborted', isAborted);
  expect(
    aws.control
      .calls({ action: 'RunInstances' })
      .filter(({ params }) => /of-(broken|none)/.test(JSON.stringify(params))),
  ).toEqual([]);
});

test('bad values in the file are refused with what is expected', async () => {
  const refused = async (more: Record<string, unknown>, text: RegExp) =>
    expect(await problemsOf(restore('bad', more))).toMatch(text);
  await refused({ from: {} }, /image: ami-/);
  await refused({ drill: true, switch: [{ type: 'command', run: ['true'] }] }, /drill must not send anybody/);
  await refused({ schedule: { every: '1d' } }, /with drill: true only: each run would make one more machine/);
  await refused({ steps: [{ name: 'rm', type: 'remove', paths: ['/opt'] }] }, /at least two levels/);
  await refused({ steps: [{ name: 'rm', type: 'remove', paths: ['/etc/ssh'] }] }, /system’s own directories/);
  await refused({ steps: [{ name: 'rm', type: 'remove', paths: ['/opt/../etc'] }] }, /without \.\./);
  await refused({ steps: [{ name: 'launch', type: 'remove' }] }, /none of preflight/);
  const cleanUp = { name: 'builds', type: 'clean-up', list: ['1'], each: 'true' };
  await refused({ steps: [cleanUp, { name: 'list-builds', type: 'remove' }] }, /a name of its own/);
  await refused({ steps: [{ name: 'o', type: 'object-storage' }] }, /expected paths or detect/);
  await refused({ steps: [{ name: 'b', type: 'clean-up', each: 'true' }] }, /list or listCommand/);
});
