import {
  CancelCommandCommand,
  DescribeInstanceInformationCommand,
  GetCommandInvocationCommand,
  ListCommandInvocationsCommand,
  ListCommandsCommand,
} from '@aws-sdk/client-ssm';
import {
  RebootInstancesCommand,
  StartInstancesCommand,
  StopInstancesCommand,
  TerminateInstancesCommand,
} from '@aws-sdk/client-ec2';
import { S3Client, CreateBucketCommand, GetObjectCommand, ListObjectsV2Command } from '@aws-sdk/client-s3';
import { spawn, spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { startMoto } from '../sandbox/runtime/moto.ts';
import type { MotoServer } from '../sandbox/runtime/moto.ts';
import {
  ended,
  eventually,
  inState,
  invocationOf,
  launch,
  refusal,
  run,
  send,
  startMachinesRig,
} from './sandbox-machines-setup.ts';
import type { MachinesRig } from './sandbox-machines-setup.ts';

let rig: MachinesRig;
let moto: Promise<MotoServer> | undefined;
let id: string;
beforeAll(async () => {
  rig = await startMachinesRig({
    forward: async () => {
      moto ??= startMoto({ dir: join(rig.dir, 'moto') });
      return (await moto).url;
    },
  });
  ({ instanceId: id } = await rig.aws.control.machines.create({
    name: 'one',
    files: { '/etc/greeting': 'hello\n', '/opt/nomad/server/state': 'old' },
    volumes: [{ mount: '/data' }],
  }));
}, 120_000);
afterAll(async () => {
  await rig?.end();
  await (await moto)?.stop();
});
afterEach(() => {
  expect(rig.aws.control.failures()).toEqual([]);
  rig.aws.control.reset();
  rig.aws.control.setTiming({ commandPending: 20, commandSecond: 1_000 });
});

/** Processes of this host whose environment or command line has this text: those of machines are among them. */
function processesWith(text: string): string[] {
  return readdirSync('/proc').filter((pid) => {
    if (!/^\d+$/.test(pid) || Number(pid) === process.pid) return false;
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(text);
    } catch {
      return false;
    }
  });
}

test('a command runs with sh, as SSM’s agent runs it, or with what its first line names', async () => {
  const by = async (...commands: string[]): Promise<string> =>
    (await run(rig, id, [...commands, 'readlink /proc/$$/exe'])).StandardOutputContent!.trim();
  expect(await by()).toBe(realpathSync('/bin/sh'));
  expect(await by('#!/bin/bash')).toBe(realpathSync('/bin/bash'));
});

test('a command runs in the machine’s own files; its output and its end are told', async () => {
  const done = await run(
    rig,
    id,
    ['cat greeting; pwd; hostname', 'echo wrong >&2', 'exit 3'],
    { Comment: 'run 2' },
    { workingDirectory: ['/etc'] },
  );
  const [, a, b, c] = /^127\.(\d+)\.(\d+)\.(\d+)$/.exec(privateIp()) ?? [];
  expect(done).toMatchObject({
    Status: 'Failed',
    StatusDetails: 'Failed',
    ResponseCode: 3,
    StandardOutputContent: `hello\n/etc\nip-127-${a}-${b}-${c}\n`,
    StandardErrorContent: 'wrong\n',
    Comment: 'run 2',
    PluginName: 'aws:runShellScript',
  });
  expect(done.ExecutionElapsedTime).toMatch(/^PT\d+(\.\d+)?S$/);
});

function privateIp(): string {
  const state = JSON.parse(readFileSync(join(rig.dir, 'aws', 'state.json'), 'utf8')) as {
    ec2: { instances: Record<string, { privateIp: string }> };
  };
  return state.ec2.instances[id]!.privateIp;
}

test('no command reaches the host’s files: not by rm -rf, remounting, devices or the way out of a chroot', async () => {
  const outside = mkdtempSync(join(tmpdir(), 'outside-machine-'));
  writeFileSync(join(outside, 'precious'), 'mine');
  try {
    const tried = await run(rig, id, [
      `ls ${outside} && echo SEEN`,
      `echo x > ${outside}/new && echo WROTE`,
      'touch /usr/touched && echo TOUCHED-USR',
      'mount -o remount,bind,rw /usr && touch /usr/touched && echo REMOUNTED',
      'umount /usr && echo UNMOUNTED',
      'mknod /tmp/disk b 8 0 && echo DEVICE',
      'chmod 600 /dev/null && echo CHANGED-DEVICE',
      'echo x > /dev/null || echo NO-DEVICE',
      'echo 1 > /proc/sys/kernel/sysrq && echo SYSCTL',
      `mkdir -p /tmp/jail; perl -e 'chroot("/tmp/jail"); chdir(".."); chdir("..") for 1..50; chroot("."); print "ESCAPED\\n" if -e "${outside}/precious"'`,
      `kill -0 ${process.pid} && echo SIGNALLED`,
      'true',
    ]);
    expect(tried.Status).toBe('Success');
    // Whatever it says, none of the marks that it got somewhere.
    expect(tried.StandardOutputContent).toBe('');
    expect(statSync('/dev/null').mode & 0o777).toBe(0o666);
    const { instanceId: doomed } = await rig.aws.control.machines.create({
      name: 'doomed',
      files: { '/etc/a': 'a', '/opt/nomad/x': 'x' },
    });
    const removed = await run(rig, doomed, [
      'rm -rf /etc /opt /var /root /usr/local /usr/bin/env /lib64/* /dev 2>/dev/null; echo over',
    ]);
    expect(removed.StandardOutputContent).toBe('over\n');
    expect(rig.aws.control.machines.readFile(doomed, '/etc/a')).toBeUndefined();
    expect(readFileSync(join(outside, 'precious'), 'utf8')).toBe('mine');
    expect(readdirSync(outside)).toEqual(['precious']);
    expect(existsSync('/usr/bin/bash')).toBe(true);
    // Another machine's files are the host's for this one.
    expect(rig.aws.control.machines.readFile(id, '/etc/greeting')).toBe('hello\n');
    await rig.ec2.send(new TerminateInstancesCommand({ InstanceIds: [doomed] }));
  } finally {
    rmSync(outside, { recursive: true, force: true });
  }
});

test('links and pipes that a machine puts in the way lead nowhere: not at its start, nor for its commands', async () => {
  const outside = mkdtempSync(join(tmpdir(), 'outside-machine-'));
  writeFileSync(join(outside, 'stdout'), 'SECRET');
  const { machines } = rig.aws.control;
  try {
    const read = await run(rig, id, [
      // Its own output as a link to the host's file, and one that nobody writes to.
      `cd "$(dirname "$0")" && rm stdout stderr && ln -s ${outside}/stdout stdout && perl -MPOSIX -e 'mkfifo("stderr", 0600)'`,
    ]);
    expect(read).toMatchObject({ Status: 'Success', StandardOutputContent: '', StandardErrorContent: '' });
    const { instanceId } = await machines.create({
      name: 'links',
      files: { '/etc/motd': '' },
      volumes: [{ mount: '/data' }],
    });
    await run(rig, instanceId, [`rm -f /etc/passwd && ln -s ${outside}/passwd /etc/passwd`]);
    await run(rig, instanceId, [`rm -rf /run/commands && ln -s ${outside} /run/commands`]);
    const led = await run(rig, instanceId, ['echo RAN']);
    expect(led).toMatchObject({ Status: 'Failed', StandardOutputContent: '' });
    expect(led.StandardErrorContent).toContain('leads out of');
    const stopAndStart = async (): Promise<void> => {
      await rig.ec2.send(new StopInstancesCommand({ InstanceIds: [instanceId] }));
      await inState(rig, instanceId, 'stopped');
      await rig.ec2.send(new StartInstancesCommand({ InstanceIds: [instanceId] }));
      await inState(rig, instanceId, 'running');
    };
    await stopAndStart();
    expect(await run(rig, instanceId, ['echo again'])).toMatchObject({ StandardOutputContent: 'again\n' });
    // Where a volume is mounted is a link now: nothing is mounted there, and nothing run.
    await run(rig, instanceId, [`cd /; rm -rf /tmp/x; ln -s ${outside} /tmp/x`]);
    const root = machines.folder(instanceId);
    await rig.ec2.send(new StopInstancesCommand({ InstanceIds: [instanceId] }));
    await inState(rig, instanceId, 'stopped');
    rmSync(join(root, 'data'), { recursive: true });
    symlinkSync(outside, join(root, 'data'));
    await rig.ec2.send(new StartInstancesCommand({ InstanceIds: [instanceId] }));
    await inState(rig, instanceId, 'running');
    expect(await refusal(send(rig, instanceId, ['echo RAN']))).toMatch(/^SandboxFailure: .*leads out of the machine/);
    expect(() => machines.path(instanceId, '/tmp/x/new')).toThrow('leads out');
    expect(readdirSync(outside)).toEqual(['stdout']);
    expect(readFileSync(join(outside, 'stdout'), 'utf8')).toBe('SECRET');
    await rig.ec2.send(new TerminateInstancesCommand({ InstanceIds: [instanceId] }));
  } finally {
    rmSync(outside, { recursive: true, force: true });
  }
});

test('where the host does not allow a machine to be kept apart, its commands are refused, and nothing is run', async ({
  skip,
}) => {
  const outside = mkdtempSync(join(tmpdir(), 'outside-machine-'));
  // A user namespace in which no further mount namespace can be made, as in a container without the right to.
  const denied = 'echo 0 > /proc/sys/user/max_mnt_namespaces || exit 90; exec "$@"';
  const child = new URL('sandbox-machines-refused.ts', import.meta.url);
  const program = [process.execPath, '--import', 'tsx', fileURLToPath(child), outside];
  try {
    const ended = spawnSync('unshare', ['--user', '--map-root-user', '--', 'bash', '-c', denied, 'bash', ...program], {
      encoding: 'utf8',
      timeout: 90_000,
    });
    skip(ended.status === 90, `cannot take the right away here: ${ended.stderr}`);
    expect(ended.status, ended.stderr).toBe(0);
    const said = JSON.parse(ended.stdout) as Record<string, string>;
    const refused = /keep machine i-\w+ apart from this host, and so does not run its commands: unshare.*privileged/s;
    expect(said['sent']).toMatch(refused);
    expect(said['ran']).toMatch(refused);
    // An image and its copy need no processes.
    expect(said['copied']).toBe('hello\n');
    expect(readdirSync(outside)).toEqual([]);
  } finally {
    rmSync(outside, { recursive: true, force: true });
  }
});

test('what a command leaves in the background lives on, until its machine stops', async () => {
  const { instanceId } = await rig.aws.control.machines.create({ name: 'with app' });
  const mark = `sleep 98765${String(Date.now()).slice(-4)}`.split(' ');
  const started = await run(rig, instanceId, [`setsid ${mark.join(' ')} </dev/null >/dev/null 2>&1 &`, 'echo started']);
  expect(started).toMatchObject({ Status: 'Success', StandardOutputContent: 'started\n' });
  // Bash has forked, and becomes the program a moment later.
  await eventually(
    async () => processesWith(mark[1]!),
    (found) => found.length === 1,
  );
  await rig.ec2.send(new RebootInstancesCommand({ InstanceIds: [instanceId] }));
  await eventually(
    async () => processesWith(mark[1]!),
    (left) => left.length === 0,
  );
  await eventually(
    () => rig.aws.control.machines.run(instanceId, 'true').catch(() => undefined),
    (done) => done?.code === 0,
  );
  await run(rig, instanceId, [`setsid ${mark.join(' ')} </dev/null >/dev/null 2>&1 &`]);
  // Bash has forked, and becomes the program a moment later.
  await eventually(
    async () => processesWith(mark[1]!),
    (found) => found.length === 1,
  );
  await rig.ec2.send(new TerminateInstancesCommand({ InstanceIds: [instanceId] }));
  await inState(rig, instanceId, 'terminated');
  expect(processesWith(mark[1]!)).toEqual([]);
});

test('states on the way: not there at first, Pending, InProgress with -1 and no output, then its end', async () => {
  rig.aws.control.setTiming({ commandPending: 600_000 });
  const commandId = await send(rig, id, ['echo begun', 'until [ -e /tmp/go ]; do sleep 0.05; done', 'echo over']);
  expect(
    await refusal(rig.ssm.send(new GetCommandInvocationCommand({ InstanceId: id, CommandId: commandId }))),
  ).toMatch(/^InvocationDoesNotExist/);
  const sent = await rig.ssm.send(new ListCommandsCommand({ CommandId: commandId }));
  expect(sent.Commands).toMatchObject([{ Status: 'Pending', CompletedCount: 0 }]);
  rig.aws.control.setTiming({ commandPending: 20 });
  const running = await eventually(
    () => invocationOf(rig, id, commandId),
    ({ Status }) => Status === 'InProgress',
  );
  expect(running).toMatchObject({ ResponseCode: -1, StandardOutputContent: '', StandardErrorContent: '' });
  const { Commands } = await rig.ssm.send(new ListCommandsCommand({ CommandId: commandId }));
  expect(Commands).toMatchObject([{ Status: 'InProgress', TargetCount: 1, CompletedCount: 0 }]);
  writeFileSync(rig.aws.control.machines.path(id, '/tmp/go'), '');
  expect(await ended(rig, id, commandId)).toMatchObject({ Status: 'Success', StandardOutputContent: 'begun\nover\n' });
  rmSync(rig.aws.control.machines.path(id, '/tmp/go'));
});

test('a cancelled command really ends', async () => {
  const commandId = await send(rig, id, ['sleep 1000; echo survived > /tmp/survived']);
  await eventually(
    () => invocationOf(rig, id, commandId),
    ({ Status }) => Status === 'InProgress',
  );
  await rig.ssm.send(new CancelCommandCommand({ CommandId: commandId }));
  expect(await ended(rig, id, commandId)).toMatchObject({ Status: 'Cancelled', StatusDetails: 'Cancelled' });
  expect(rig.aws.control.machines.readFile(id, '/tmp/survived')).toBeUndefined();
  rig.aws.control.setTiming({ commandPending: 60_000 });
  const waiting = await send(rig, id, ['true']);
  await rig.ssm.send(new CancelCommandCommand({ CommandId: waiting, InstanceIds: [id] }));
  const { Commands } = await rig.ssm.send(new ListCommandsCommand({ CommandId: waiting }));
  expect(Commands![0]!.Status).toBe('Cancelled');
});

test('timeouts: of the execution, of the delivery to a lost agent; and commands that never arrive', async () => {
  rig.aws.control.setTiming({ commandSecond: 10 });
  const late = await run(rig, id, ['echo so far; sleep 1000'], {}, { executionTimeout: ['30'] });
  expect(late).toMatchObject({
    Status: 'TimedOut',
    StatusDetails: 'Execution Timed Out',
    StandardOutputContent: 'so far\n',
  });
  rig.aws.control.machines.agent({ instanceId: id, status: 'lost' });
  const lost = await run(rig, id, ['true'], { TimeoutSeconds: 30 });
  expect(lost).toMatchObject({ Status: 'TimedOut', StatusDetails: 'Delivery Timed Out', ResponseCode: -1 });
  rig.aws.control.machines.agent({ instanceId: id });
  rig.aws.control.machines.loseCommands({ details: 'Undeliverable' });
  rig.aws.control.machines.loseCommands({ details: 'Terminated' });
  expect(await run(rig, id, ['true'])).toMatchObject({ Status: 'Failed', StatusDetails: 'Undeliverable' });
  expect(await run(rig, id, ['true'])).toMatchObject({
    Status: 'Failed',
    StatusDetails: 'Terminated',
    ResponseCode: -1,
  });
});

test('long output is cut, and whole in the bucket that was named', async () => {
  const s3 = new S3Client({
    endpoint: rig.aws.url,
    region: rig.aws.region,
    forcePathStyle: true,
    credentials: { accessKeyId: 'sandbox', secretAccessKey: 'sandbox' },
  });
  await s3.send(new CreateBucketCommand({ Bucket: 'outputs' }));
  const done = await run(rig, id, [`perl -e 'print "o" x 30000; print STDERR "e" x 9000'`], {
    OutputS3BucketName: 'outputs',
    OutputS3KeyPrefix: 'runs',
  });
  expect(done.StandardOutputContent).toBe('o'.repeat(24_000));
  expect(done.StandardErrorContent).toBe('e'.repeat(8_000));
  const { Contents } = await s3.send(new ListObjectsV2Command({ Bucket: 'outputs' }));
  const key = `runs/${done.CommandId}/${id}/awsrunShellScript/0.awsrunShellScript`;
  expect(Contents?.map(({ Key }) => Key).sort()).toEqual([`${key}/stderr`, `${key}/stdout`]);
  const object = await s3.send(new GetObjectCommand({ Bucket: 'outputs', Key: `${key}/stdout` }));
  expect(await object.Body!.transformToString()).toBe('o'.repeat(30_000));
  expect(done.StandardOutputUrl).toBe(`https://s3.us-east-1.amazonaws.com/outputs/${key}/stdout`);
  s3.destroy();
}, 120_000);

test('a command is found again by its comment, and its invocations with their output', async () => {
  const commandId = await send(rig, id, ['echo found'], { Comment: 'cutover run-42 step' });
  await ended(rig, id, commandId);
  const { Commands } = await rig.ssm.send(
    new ListCommandsCommand({ InstanceId: id, Filters: [{ key: 'Status', value: 'Success' }] }),
  );
  expect(Commands![0]).toMatchObject({ CommandId: commandId, Comment: 'cutover run-42 step', Status: 'Success' });
  const listed = await rig.ssm.send(new ListCommandInvocationsCommand({ CommandId: commandId, Details: true }));
  expect(listed.CommandInvocations).toMatchObject([
    {
      InstanceId: id,
      InstanceName: 'one',
      CommandPlugins: [{ Output: 'found\n', ResponseCode: 0, Status: 'Success' }],
    },
  ]);
  const first = await rig.ssm.send(new ListCommandsCommand({ MaxResults: 1 }));
  expect(first.Commands).toHaveLength(1);
  const second = await rig.ssm.send(new ListCommandsCommand({ MaxResults: 1, NextToken: first.NextToken }));
  expect(second.Commands![0]!.CommandId).not.toBe(first.Commands![0]!.CommandId);
});

test('agents: online, lost, none, and only some time after the start', async () => {
  const ping = async (instanceId: string): Promise<string | undefined> => {
    const Filters = [{ Key: 'InstanceIds', Values: [instanceId] }];
    const { InstanceInformationList } = await rig.ssm.send(new DescribeInstanceInformationCommand({ Filters }));
    return InstanceInformationList?.[0]?.PingStatus;
  };
  expect(await ping(id)).toBe('Online');
  rig.aws.control.machines.agent({ instanceId: id, status: 'lost' });
  expect(await ping(id)).toBe('ConnectionLost');
  rig.aws.control.machines.agent({ instanceId: id });
  rig.aws.control.machines.agent({ status: 'none' });
  const { InstanceId: mute = '' } = await launch(rig, 'ami-00000000000deb12a');
  expect(await ping(mute)).toBeUndefined();
  expect(await refusal(send(rig, mute, ['true']))).toBe(
    `InvalidInstanceId: Instances [[${mute}]] not in a valid state for account 123456789012`,
  );
  rig.aws.control.machines.agent({ status: 'online', afterMs: 1_500 });
  const { InstanceId: slow = '' } = await launch(rig, 'ami-00000000000deb12a');
  await eventually(
    () => ping(slow),
    (status) => status === 'Online',
  );
  await rig.ec2.send(new StopInstancesCommand({ InstanceIds: [slow] }));
  await inState(rig, slow, 'stopped');
  expect(await ping(slow)).toBe('ConnectionLost');
  expect(await refusal(send(rig, slow, ['true']))).toContain('InvalidInstanceId');
  await rig.ec2.send(new TerminateInstancesCommand({ InstanceIds: [mute, slow] }));
});

test('inputs that AWS refuses', async () => {
  const refused = (more: Parameters<typeof send>[3], parameters: Record<string, string[]> = {}): Promise<string> =>
    refusal(send(rig, id, ['true'], more, parameters));
  expect(await refused({ DocumentName: 'AWS-RunPowerShellScript' })).toContain('InvalidDocument');
  expect(await refused({ InstanceIds: ['i-0123456789abcdef0'] })).toContain(
    'InvalidInstanceId: Instances [[i-0123456789abcdef0]]',
  );
  expect(await refused({ Comment: 'c'.repeat(101) })).toContain(
    "ValidationException: 1 validation error detected: Value at 'comment'",
  );
  expect(await refused({ TimeoutSeconds: 29 })).toContain("Value at 'timeoutSeconds'");
  expect(await refused({}, { shell: ['zsh'] })).toContain('InvalidParameters: Parameter shell is not defined');
  expect(await refused({}, { executionTimeout: ['172801'] })).toContain('InvalidParameters');
  expect(await refused({ Parameters: {} })).toContain('InvalidParameters: Parameter commands is required.');
  // The SDK itself leaves out what it does not know.
  const raw = await fetch(rig.aws.url, {
    method: 'POST',
    headers: {
      'content-type': 'application/x-amz-json-1.1',
      'x-amz-target': 'AmazonSSM.SendCommand',
      authorization: `AWS4-HMAC-SHA256 Credential=sandbox/20260101/us-east-1/ssm/aws4_request, SignedHeaders=host, Signature=${'0'.repeat(64)}`,
    },
    body: JSON.stringify({ DocumentName: 'AWS-RunShellScript', InstanceIds: [id], Unknown: 1 }),
  });
  expect(raw.status).toBe(400);
  expect(await raw.json()).toMatchObject({
    __type: 'ValidationException',
    message: expect.stringContaining('Unknown'),
  });
  const unknown = '00000000-0000-4000-8000-000000000000';
  expect(await refusal(rig.ssm.send(new CancelCommandCommand({ CommandId: unknown })))).toContain('InvalidCommandId');
  expect(await refusal(rig.ssm.send(new ListCommandsCommand({ CommandId: unknown })))).toContain('InvalidCommandId');
});

test('a sandbox that is killed leaves no process of its machines', async () => {
  const child = spawn(
    process.execPath,
    ['--import', 'tsx', fileURLToPath(new URL('sandbox-machines-child.ts', import.meta.url)), join(rig.dir, 'killed')],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  let mark = '';
  for await (const line of createInterface({ input: child.stdout })) {
    mark = line;
    break;
  }
  expect(mark).toMatch(/^\d+$/);
  expect(processesWith(mark)).not.toEqual([]);
  child.kill('SIGKILL');
  await eventually(
    async () => processesWith(mark),
    (left) => left.length === 0,
  );
});

test('a restarted sandbox runs its machines again, and says of what was under way that it failed', async () => {
  const under = await send(rig, id, ['sleep 1000']);
  await eventually(
    () => invocationOf(rig, id, under),
    ({ Status }) => Status === 'InProgress',
  );
  await rig.restart();
  expect(await ended(rig, id, under)).toMatchObject({ Status: 'Failed' });
  expect(await run(rig, id, ['cat /etc/greeting'])).toMatchObject({ StandardOutputContent: 'hello\n' });
});
