import {
  AttachVolumeCommand,
  CreateImageCommand,
  CreateSnapshotCommand,
  CreateSnapshotsCommand,
  CreateTagsCommand,
  CreateVolumeCommand,
  DeleteSnapshotCommand,
  DeleteTagsCommand,
  DeleteVolumeCommand,
  DeregisterImageCommand,
  DescribeImagesCommand,
  DescribeInstanceAttributeCommand,
  DescribeInstanceStatusCommand,
  DescribeInstancesCommand,
  DescribeSnapshotsCommand,
  DescribeSubnetsCommand,
  DescribeTagsCommand,
  DescribeVolumesCommand,
  DetachVolumeCommand,
  ModifyInstanceAttributeCommand,
  RegisterImageCommand,
  RunInstancesCommand,
  StartInstancesCommand,
  StopInstancesCommand,
  TerminateInstancesCommand,
} from '@aws-sdk/client-ec2';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { DEFAULT_TIMING } from '../sandbox/aws/timing.ts';
import { startMoto } from '../sandbox/runtime/moto.ts';
import type { MotoServer } from '../sandbox/runtime/moto.ts';
import { seedServicesMachine } from '../sandbox/aws/ec2/services-machine.ts';
import {
  eventually,
  imageOf,
  inState,
  instanceOf,
  launch,
  refusal,
  run,
  snapshotOf,
  startMachinesRig,
  takeImage,
} from './sandbox-machines-setup.ts';
import type { MachinesRig } from './sandbox-machines-setup.ts';

let rig: MachinesRig;
let moto: Promise<MotoServer> | undefined;
/** A machine with a data volume, for tests that do not change it. */
let id: string;
beforeAll(async () => {
  rig = await startMachinesRig({
    forward: async () => {
      moto ??= startMoto({ dir: join(rig.dir, 'moto') });
      return (await moto).url;
    },
  });
  ({ instanceId: id } = await rig.aws.control.machines.create({
    name: 'db-1',
    tags: { role: 'db' },
    files: {
      '/etc/motd': 'hello\n',
      '/usr/local/bin/tool': { content: '#!/bin/bash\n', mode: 0o755 },
      '/data/rows': '1\n2\n',
    },
    volumes: [{ mount: '/data', size: 20 }],
  }));
});
afterAll(async () => {
  await rig?.end();
  await (await moto)?.stop();
});
afterEach(() => {
  expect(rig.aws.control.failures()).toEqual([]);
  rig.aws.control.reset();
  rig.aws.control.setTiming(DEFAULT_TIMING);
});

/** Every file below a folder with its mode, owner, link target and bytes. */
function contents(folder: string): string {
  return execFileSync(
    'bash',
    ['-c', 'find . -printf "%P %y %m %U %l\\n" | sort; find . -type f -print0 | sort -z | xargs -0 sha256sum'],
    { cwd: folder, encoding: 'utf8' },
  );
}

function foldersOf(instanceId: string): string[] {
  const { machines } = rig.aws.control;
  return [machines.path(instanceId, '/'), machines.path(instanceId, '/data/').replace(/\/$/, '')];
}

test('image, terminate, a new machine from the image: equal files on every volume, other addresses', async () => {
  const first = await rig.aws.control.machines.create({
    name: 'lost',
    files: { '/etc/motd': 'mine\n', '/data/rows': 'a\n' },
    volumes: [{ mount: '/data', size: 20 }],
  });
  await rig.aws.control.machines.run(
    first.instanceId,
    'ln -s motd /etc/link; chmod 600 /etc/motd; echo b >> /data/rows',
  );
  const before = await instanceOf(rig, first.instanceId);
  const image = await takeImage(rig, first.instanceId, 'lost-1', {
    TagSpecifications: [
      { ResourceType: 'image', Tags: [{ Key: 'cutover:run', Value: 'r1' }] },
      {
        ResourceType: 'snapshot',
        Tags: [
          { Key: 'cutover:run', Value: 'r1' },
          { Key: 'of', Value: 'lost' },
        ],
      },
    ],
  });
  const expected = foldersOf(first.instanceId).map(contents);
  expect(image).toMatchObject({ Name: 'lost-1', State: 'available', SourceInstanceId: first.instanceId });
  expect(image.Tags).toEqual([{ Key: 'cutover:run', Value: 'r1' }]);
  expect(image.BlockDeviceMappings).toHaveLength(2);
  for (const { Ebs } of image.BlockDeviceMappings!) {
    expect(await snapshotOf(rig, Ebs!.SnapshotId!)).toMatchObject({
      State: 'completed',
      Progress: '100%',
      Tags: [
        { Key: 'cutover:run', Value: 'r1' },
        { Key: 'of', Value: 'lost' },
      ],
    });
  }
  await rig.ec2.send(new TerminateInstancesCommand({ InstanceIds: [first.instanceId] }));
  const gone = await inState(rig, first.instanceId, 'terminated');
  expect(gone.PrivateIpAddress).toBeUndefined();
  // The root volume went with it, the other is kept: as each was attached.
  const left = first.volumes.map(({ volumeId }) => volumeId);
  const { Volumes } = await rig.ec2.send(
    new DescribeVolumesCommand({ Filters: [{ Name: 'volume-id', Values: left }] }),
  );
  expect(Volumes).toMatchObject([{ VolumeId: left[1], State: 'available', Attachments: [] }]);

  const again = await launch(rig, image.ImageId!, {
    TagSpecifications: [{ ResourceType: 'instance', Tags: [{ Key: 'Name', Value: 'again' }] }],
  });
  expect(foldersOf(again.InstanceId!).map(contents)).toEqual(expected);
  expect(again.PrivateIpAddress).toMatch(/^127\./);
  expect(again.PrivateIpAddress).not.toBe(before.PrivateIpAddress);
  expect(again.PrivateDnsName).toBe(`ip-${again.PrivateIpAddress!.replaceAll('.', '-')}.ec2.internal`);
  expect(again.ImageId).toBe(image.ImageId);
  const seen = await run(rig, again.InstanceId!, ['cat /etc/link /data/rows; stat -c %a /etc/motd']);
  expect(seen.StandardOutputContent).toBe('mine\na\nb\n600\n');
  await rig.ec2.send(new TerminateInstancesCommand({ InstanceIds: [again.InstanceId!] }));
});

test('an image is of the moment of the call, and reboots the machine unless told not to', async () => {
  const { instanceId } = await rig.aws.control.machines.create({ name: 'moment', files: { '/var/n': '1' } });
  const booted = async (): Promise<string> =>
    (await rig.aws.control.machines.run(instanceId, "cut -d' ' -f22 /proc/1/stat")).stdout;
  const processes = await booted();
  rig.aws.control.setTiming({ imagePending: 600_000, snapshotPending: 600_000 });
  const left = await rig.ec2.send(new CreateImageCommand({ InstanceId: instanceId, Name: 'moment-1', NoReboot: true }));
  await rig.aws.control.machines.run(instanceId, 'echo 2 > /var/n');
  expect((await imageOf(rig, left.ImageId!)).State).toBe('pending');
  expect(await booted()).toBe(processes);
  rig.aws.control.setTiming(DEFAULT_TIMING);
  const image = await eventually(
    () => imageOf(rig, left.ImageId!),
    ({ State }) => State === 'available',
  );
  const copy = await launch(rig, image.ImageId!);
  expect(rig.aws.control.machines.readFile(copy.InstanceId!, '/var/n')).toBe('1');
  await run(rig, instanceId, ['setsid sleep 1000 </dev/null >/dev/null 2>&1 &']);
  await rig.ec2.send(new CreateImageCommand({ InstanceId: instanceId, Name: 'moment-2' }));
  const alive = await rig.aws.control.machines.run(instanceId, 'ps -eo args');
  expect(alive.stdout).not.toContain('sleep 1000');
  await rig.ec2.send(new TerminateInstancesCommand({ InstanceIds: [instanceId, copy.InstanceId!] }));
});

test('all volumes of a snapshot are of one moment, while programs write', async () => {
  const { instanceId } = await rig.aws.control.machines.create({ name: 'writes', volumes: [{ mount: '/data' }] });
  // Writes the same number to both volumes, / first: /data may never be ahead, nor behind by more than one.
  await run(rig, instanceId, [
    `setsid bash -c 'n=0; while :; do n=$((n+1)); echo $n > /counter.new; mv /counter.new /counter; echo $n > /data/counter.new; mv /data/counter.new /data/counter; done' </dev/null >/dev/null 2>&1 &`,
    'until [ -s /data/counter ]; do sleep 0.02; done',
  ]);
  const take = () => rig.ec2.send(new CreateSnapshotsCommand({ InstanceSpecification: { InstanceId: instanceId } }));
  const taken = [await take(), await take(), await take()];
  // Two at once: the end of one must not let the programs go on under the other.
  taken.push(...(await Promise.all([take(), take()])));
  for (const { Snapshots } of taken) {
    const folder = (i: number): string =>
      join(rig.dir, 'aws', 'ec2', 'snapshots', Snapshots![i]!.SnapshotId!, 'counter');
    const [root, data] = [0, 1].map((i) => Number(execFileSync('cat', [folder(i)], { encoding: 'utf8' })));
    expect(root! - data!).toBeGreaterThanOrEqual(0);
    expect(root! - data!).toBeLessThanOrEqual(1);
  }
  await rig.ec2.send(new TerminateInstancesCommand({ InstanceIds: [instanceId] }));
});

test('CreateSnapshots: leaving volumes out, tags of the volume, one that is refused', async () => {
  const root = (await instanceOf(rig, id)).BlockDeviceMappings!.find(({ DeviceName }) => DeviceName === '/dev/xvda')!;
  const data = (await instanceOf(rig, id)).BlockDeviceMappings!.find(({ DeviceName }) => DeviceName !== '/dev/xvda')!;
  const create = (more: object, rest: object = {}) =>
    rig.ec2.send(new CreateSnapshotsCommand({ InstanceSpecification: { InstanceId: id, ...more }, ...rest }));
  const boot = await create({ ExcludeDataVolumeIds: [data.Ebs!.VolumeId!] }, { CopyTagsFromSource: 'volume' });
  expect(boot.Snapshots).toMatchObject([
    { VolumeId: root.Ebs!.VolumeId, State: 'pending', Tags: [{ Key: 'Name', Value: 'db-1' }] },
  ]);
  const tags = [{ Key: 'cutover:run', Value: 'run-7' }];
  const rest = await create(
    { ExcludeBootVolume: true },
    { TagSpecifications: [{ ResourceType: 'snapshot', Tags: tags }] },
  );
  expect(rest.Snapshots).toMatchObject([{ VolumeId: data.Ebs!.VolumeId, VolumeSize: 20, Tags: tags }]);
  const found = await rig.ec2.send(
    new DescribeSnapshotsCommand({ OwnerIds: ['self'], Filters: [{ Name: 'tag:cutover:run', Values: ['run-7'] }] }),
  );
  expect(found.Snapshots!.map(({ SnapshotId }) => SnapshotId)).toEqual([rest.Snapshots![0]!.SnapshotId]);
  expect(await refusal(create({ ExcludeDataVolumeIds: [root.Ebs!.VolumeId!] }))).toContain('InvalidParameterValue');
  expect(await refusal(create({ ExcludeBootVolume: true, ExcludeDataVolumeIds: [data.Ebs!.VolumeId!] }))).toContain(
    'has no volume left',
  );
  rig.aws.control.failNext({ action: 'CreateSnapshots', code: 'SnapshotCreationPerVolumeRateExceeded' });
  expect(await refusal(create({}))).toContain('SnapshotCreationPerVolumeRateExceeded');
});

test('names and tokens: an image’s name is taken once, RunInstances with one token makes one machine', async () => {
  const image = await takeImage(rig, id, 'db-1 2026');
  expect(
    await refusal(rig.ec2.send(new CreateImageCommand({ InstanceId: id, Name: 'db-1 2026', NoReboot: true }))),
  ).toBe(`InvalidAMIName.Duplicate: AMI name db-1 2026 is already in use by AMI ${image.ImageId}`);
  expect(await refusal(rig.ec2.send(new CreateImageCommand({ InstanceId: id, Name: 'x' })))).toContain(
    'InvalidAMIName.Malformed',
  );
  const start = (type: 't3.large' | 't3.small') =>
    rig.ec2.send(
      new RunInstancesCommand({
        ImageId: image.ImageId,
        MinCount: 1,
        MaxCount: 1,
        ClientToken: 'token-1',
        InstanceType: type,
      }),
    );
  const [a, b] = await Promise.all([start('t3.large'), start('t3.large')]);
  expect(a.Instances![0]!.InstanceId).toBe(b.Instances![0]!.InstanceId);
  expect(await refusal(start('t3.small'))).toContain('IdempotentParameterMismatch');
  const { Reservations } = await rig.ec2.send(
    new DescribeInstancesCommand({ Filters: [{ Name: 'client-token', Values: ['token-1'] }] }),
  );
  expect(Reservations).toHaveLength(1);
  await rig.ec2.send(new TerminateInstancesCommand({ InstanceIds: [a.Instances![0]!.InstanceId!] }));
});

test('images and snapshots that fail, are not seen at first, or are in use', async () => {
  const { machines } = rig.aws.control;
  machines.failImages({ code: 'Server.Broken', message: 'no luck' });
  const broken = await rig.ec2.send(new CreateImageCommand({ InstanceId: id, Name: 'broken', NoReboot: true }));
  expect(
    await eventually(
      () => imageOf(rig, broken.ImageId!),
      ({ State }) => State !== 'pending',
    ),
  ).toMatchObject({ State: 'failed', StateReason: { Code: 'Server.Broken', Message: 'no luck' } });
  machines.failSnapshots({ message: 'disk on fire' });
  const [volume] = (await instanceOf(rig, id)).BlockDeviceMappings!;
  const bad = await rig.ec2.send(new CreateSnapshotCommand({ VolumeId: volume!.Ebs!.VolumeId! }));
  expect(
    await eventually(
      () => snapshotOf(rig, bad.SnapshotId!),
      ({ State }) => State !== 'pending',
    ),
  ).toMatchObject({ State: 'error', StateMessage: 'disk on fire' });

  machines.hideImages({ ms: 600_000 });
  const hidden = await rig.ec2.send(new CreateImageCommand({ InstanceId: id, Name: 'hidden', NoReboot: true }));
  const first = await refusal(imageOf(rig, hidden.ImageId!));
  expect(first).toBe(`InvalidAMIID.NotFound: The image id '[${hidden.ImageId}]' does not exist`);
  machines.showImages();
  const image = await eventually(
    () => imageOf(rig, hidden.ImageId!),
    ({ State }) => State === 'available',
  );
  const snapshotId = image.BlockDeviceMappings![0]!.Ebs!.SnapshotId!;
  const remove = (SnapshotId: string): Promise<unknown> => rig.ec2.send(new DeleteSnapshotCommand({ SnapshotId }));
  expect(await refusal(remove(snapshotId))).toBe(
    `InvalidSnapshot.InUse: The snapshot ${snapshotId} is currently in use by ${hidden.ImageId}`,
  );
  await rig.ec2.send(new DeregisterImageCommand({ ImageId: hidden.ImageId }));
  expect(await refusal(rig.ec2.send(new DeregisterImageCommand({ ImageId: hidden.ImageId })))).toContain(
    'InvalidAMIID.Unavailable',
  );
  expect(await refusal(imageOf(rig, hidden.ImageId!))).toContain('InvalidAMIID.NotFound');
  expect((await snapshotOf(rig, snapshotId)).State).toBe('completed');
  await remove(snapshotId);
  expect(await refusal(remove(snapshotId))).toBe(
    `InvalidSnapshot.NotFound: The snapshot '${snapshotId}' does not exist.`,
  );
});

test('a snapshot’s progress grows and is 100% only when it is completed', async () => {
  rig.aws.control.setTiming({ snapshotPending: 60_000 });
  const [volume] = (await instanceOf(rig, id)).BlockDeviceMappings!;
  const made = await rig.ec2.send(new CreateSnapshotCommand({ VolumeId: volume!.Ebs!.VolumeId! }));
  const seen: string[] = [];
  const shows = async (): Promise<string> => {
    const snapshot = await snapshotOf(rig, made.SnapshotId!);
    seen.push(`${snapshot.State} ${snapshot.Progress}`);
    return snapshot.Progress!;
  };
  const first = Number.parseInt(await shows(), 10);
  await eventually(shows, (progress) => Number.parseInt(progress, 10) > first);
  rig.aws.control.setTiming(DEFAULT_TIMING);
  await eventually(shows, (progress) => progress === '100%');
  expect(seen.at(-1)).toBe('completed 100%');
  expect(seen.slice(0, -1).every((each) => /^pending \d{1,2}%$/.test(each))).toBe(true);
});

test('a machine from snapshots alone, by RegisterImage; volumes made, attached, detached and deleted', async () => {
  const { Snapshots } = await rig.ec2.send(new CreateSnapshotsCommand({ InstanceSpecification: { InstanceId: id } }));
  const [root = '', data = ''] = Snapshots!.map(({ SnapshotId }) => SnapshotId!);
  for (const each of [root, data]) {
    await eventually(
      () => snapshotOf(rig, each),
      ({ State }) => State === 'completed',
    );
  }
  const { ImageId = '' } = await rig.ec2.send(
    new RegisterImageCommand({
      Name: 'from snapshots',
      RootDeviceName: '/dev/xvda',
      Architecture: 'x86_64',
      VirtualizationType: 'hvm',
      BlockDeviceMappings: [{ DeviceName: '/dev/xvda', Ebs: { SnapshotId: root } }],
    }),
  );
  await eventually(
    () => imageOf(rig, ImageId),
    ({ State }) => State === 'available',
  );
  const machine = await launch(rig, ImageId, {
    BlockDeviceMappings: [
      { DeviceName: '/dev/sdf', Ebs: { SnapshotId: data, VolumeSize: 30, DeleteOnTermination: true } },
    ],
  });
  expect((await run(rig, machine.InstanceId!, ['cat /etc/motd /data/rows'])).StandardOutputContent).toBe(
    'hello\n1\n2\n',
  );
  expect(
    await refusal(
      launch(rig, ImageId, {
        BlockDeviceMappings: [{ DeviceName: '/dev/sdf', Ebs: { SnapshotId: data, VolumeSize: 1 } }],
      }),
    ),
  ).toContain(`Volume of size 1GB is smaller than snapshot '${data}', expect size >= 20GB`);

  const zone = machine.Placement!.AvailabilityZone!;
  const volume = await rig.ec2.send(
    new CreateVolumeCommand({ AvailabilityZone: zone, SnapshotId: data, VolumeType: 'gp3' }),
  );
  const VolumeId = volume.VolumeId!;
  await rig.ec2.send(new AttachVolumeCommand({ VolumeId, InstanceId: machine.InstanceId!, Device: '/dev/sdz' }));
  expect(await refusal(rig.ec2.send(new DeleteVolumeCommand({ VolumeId })))).toContain('VolumeInUse');
  await rig.ec2.send(new StopInstancesCommand({ InstanceIds: [machine.InstanceId!] }));
  await inState(rig, machine.InstanceId!, 'stopped');
  await rig.ec2.send(new DetachVolumeCommand({ VolumeId }));
  await rig.ec2.send(new DeleteVolumeCommand({ VolumeId }));
  expect(await refusal(rig.ec2.send(new DescribeVolumesCommand({ VolumeIds: [VolumeId] })))).toContain(
    'InvalidVolume.NotFound',
  );
  await rig.ec2.send(new TerminateInstancesCommand({ InstanceIds: [machine.InstanceId!] }));
  await inState(rig, machine.InstanceId!, 'terminated');
  const { Volumes } = await rig.ec2.send(
    new DescribeVolumesCommand({ Filters: [{ Name: 'attachment.instance-id', Values: [machine.InstanceId!] }] }),
  );
  expect(Volumes).toEqual([]);
});

test('states and checks of a machine; termination protection; stop and start', async () => {
  rig.aws.control.setTiming({ instanceChecks: 600_000 });
  const { Instances } = await rig.ec2.send(
    new RunInstancesCommand({
      ImageId: 'ami-00000000000deb12a',
      MinCount: 1,
      MaxCount: 1,
      DisableApiTermination: true,
      IamInstanceProfile: { Name: 'backup' },
      KeyName: 'admin',
      UserData: Buffer.from('#!/bin/bash\necho from user data > /etc/user-data\n').toString('base64'),
    }),
  );
  const made = Instances![0]!;
  const instanceId = made.InstanceId!;
  expect(made).toMatchObject({ State: { Name: 'pending', Code: 0 }, KeyName: 'admin' });
  expect(made.IamInstanceProfile!.Arn).toBe('arn:aws:iam::123456789012:instance-profile/backup');
  const status = async () =>
    (await rig.ec2.send(new DescribeInstanceStatusCommand({ InstanceIds: [instanceId], IncludeAllInstances: true })))
      .InstanceStatuses![0]!;
  await inState(rig, instanceId, 'running');
  expect((await status()).InstanceStatus!.Status).toBe('initializing');
  rig.aws.control.setTiming(DEFAULT_TIMING);
  await eventually(status, (now) => now.InstanceStatus!.Status === 'ok' && now.SystemStatus!.Status === 'ok');
  await eventually(
    async () => rig.aws.control.machines.readFile(instanceId, '/etc/user-data'),
    (text) => text === 'from user data\n',
  );
  rig.aws.control.machines.check({ instanceId, system: 'impaired' });
  expect(await status()).toMatchObject({
    InstanceStatus: { Status: 'ok' },
    SystemStatus: { Status: 'impaired', Details: [{ Name: 'reachability', Status: 'failed' }] },
  });
  const terminate = (): Promise<unknown> => rig.ec2.send(new TerminateInstancesCommand({ InstanceIds: [instanceId] }));
  expect(await refusal(terminate())).toBe(
    `OperationNotPermitted: The instance '${instanceId}' may not be terminated. Modify its 'disableApiTermination' instance attribute and try again.`,
  );
  await rig.ec2.send(
    new ModifyInstanceAttributeCommand({ InstanceId: instanceId, DisableApiTermination: { Value: false } }),
  );
  const attribute = await rig.ec2.send(
    new DescribeInstanceAttributeCommand({ InstanceId: instanceId, Attribute: 'disableApiTermination' }),
  );
  expect(attribute.DisableApiTermination!.Value).toBe(false);
  await rig.ec2.send(new StopInstancesCommand({ InstanceIds: [instanceId] }));
  const stopped = await inState(rig, instanceId, 'stopped');
  expect(stopped.PublicIpAddress).toBeUndefined();
  expect((await status()).InstanceStatus!.Status).toBe('not-applicable');
  const listed = await rig.ec2.send(new DescribeInstanceStatusCommand({ InstanceIds: [instanceId] }));
  expect(listed.InstanceStatuses).toEqual([]);
  const started = await rig.ec2.send(new StartInstancesCommand({ InstanceIds: [instanceId] }));
  expect(started.StartingInstances).toMatchObject([
    { PreviousState: { Name: 'stopped' }, CurrentState: { Name: 'pending' } },
  ]);
  const running = await inState(rig, instanceId, 'running');
  expect(running.PrivateIpAddress).toBe(made.PrivateIpAddress);
  expect(running.PublicIpAddress).not.toBe(made.PublicIpAddress);
  await terminate();
  await inState(rig, instanceId, 'terminated');
  expect(await refusal(rig.ec2.send(new StartInstancesCommand({ InstanceIds: [instanceId] })))).toContain(
    'IncorrectInstanceState',
  );
});

test('finding machines; tags; what is not there; DryRun', async () => {
  const find = async (Name: string, Values: string[]): Promise<(string | undefined)[]> => {
    const { Reservations } = await rig.ec2.send(new DescribeInstancesCommand({ Filters: [{ Name, Values }] }));
    return Reservations!.flatMap(({ Instances }) => Instances!.map(({ InstanceId }) => InstanceId));
  };
  const { PrivateIpAddress = '' } = await instanceOf(rig, id);
  expect(await find('tag:role', ['db'])).toEqual([id]);
  expect(await find('tag:Name', ['db-?'])).toEqual([id]);
  expect(await find('private-ip-address', [PrivateIpAddress])).toEqual([id]);
  expect(await find('instance-state-name', ['running'])).toContain(id);
  expect(await find('tag:role', ['web'])).toEqual([]);
  expect(await refusal(find('no-such-filter', ['x']))).toBe(
    "InvalidParameterValue: The filter 'no-such-filter' is invalid",
  );
  await rig.ec2.send(new CreateTagsCommand({ Resources: [id], Tags: [{ Key: 'added', Value: 'yes' }] }));
  const tags = await rig.ec2.send(new DescribeTagsCommand({ Filters: [{ Name: 'resource-id', Values: [id] }] }));
  expect(tags.Tags).toContainEqual({ ResourceId: id, ResourceType: 'instance', Key: 'added', Value: 'yes' });
  await rig.ec2.send(new DeleteTagsCommand({ Resources: [id], Tags: [{ Key: 'added' }] }));
  expect(await find('tag-key', ['added'])).toEqual([]);

  const absent = 'i-0123456789abcdef0';
  expect(await refusal(instanceOf(rig, absent))).toBe(
    `InvalidInstanceID.NotFound: The instance ID '${absent}' does not exist`,
  );
  expect(await refusal(instanceOf(rig, 'i-no'))).toBe('InvalidInstanceID.Malformed: Invalid id: "i-no"');
  expect(await refusal(launch(rig, 'ami-0123456789abcdef0'))).toContain('InvalidAMIID.NotFound');
  expect(await refusal(launch(rig, 'ami-00000000000deb12a', { PrivateIpAddress }))).toBe(
    `InvalidIPAddress.InUse: Address ${PrivateIpAddress} is in use.`,
  );
  expect(await refusal(launch(rig, 'ami-00000000000deb12a', { SubnetId: 'subnet-0123456789abcdef0' }))).toContain(
    'InvalidSubnetID.NotFound',
  );
  const dry = new CreateImageCommand({ InstanceId: id, Name: 'never', DryRun: true });
  expect(await refusal(rig.ec2.send(dry))).toBe(
    'DryRunOperation: Request would have succeeded, but DryRun flag is set.',
  );
  const named = await rig.ec2.send(new DescribeImagesCommand({ Filters: [{ Name: 'name', Values: ['never'] }] }));
  expect(named.Images).toEqual([]);
});

test('networks are the other server’s, and machines are in them; its own machines are left to it', async () => {
  const { SubnetId, VpcId, SecurityGroups } = await instanceOf(rig, id);
  const { Subnets } = await rig.ec2.send(new DescribeSubnetsCommand({ SubnetIds: [SubnetId!] }));
  expect(Subnets![0]!.VpcId).toBe(VpcId);
  expect(SecurityGroups).toMatchObject([{ GroupName: 'default' }]);
  const other = await rig.ec2.send(new RunInstancesCommand({ ImageId: 'ami-12c6146b', MinCount: 1, MaxCount: 1 }));
  const found = await instanceOf(rig, other.Instances![0]!.InstanceId!);
  expect(found.PrivateIpAddress).not.toMatch(/^127\./);
});

test('pages of snapshots, without ids only', async () => {
  const pages: (string | undefined)[] = [];
  let NextToken: string | undefined;
  do {
    const page = await rig.ec2.send(
      new DescribeSnapshotsCommand({
        OwnerIds: ['self'],
        MaxResults: 5,
        ...(NextToken === undefined ? {} : { NextToken }),
      }),
    );
    pages.push(...page.Snapshots!.map(({ SnapshotId }) => SnapshotId));
    NextToken = page.NextToken;
  } while (NextToken !== undefined);
  const all = await rig.ec2.send(new DescribeSnapshotsCommand({ OwnerIds: ['self'] }));
  expect(pages.length).toBeGreaterThan(5);
  expect(new Set(pages)).toEqual(new Set(all.Snapshots!.map(({ SnapshotId }) => SnapshotId)));
  expect(pages).toHaveLength(all.Snapshots!.length);
});

test('the services machine: restored elsewhere, its app is well only after the article’s steps', async () => {
  const original = await seedServicesMachine(rig.aws.control.machines, { objectsVolume: true });
  const answer = async (
    url: string,
  ): Promise<{ code: number; body: { status: string; builds: { status: string }[] } }> => {
    const response = await fetch(url);
    return { code: response.status, body: (await response.json()) as never };
  };
  expect(await answer(original.url)).toMatchObject({
    code: 200,
    body: { status: 'ok', hostname: 'circleci.example.com' },
  });
  const image = await takeImage(rig, original.instanceId, 'services-1');
  await rig.ec2.send(new TerminateInstancesCommand({ InstanceIds: [original.instanceId] }));
  await inState(rig, original.instanceId, 'terminated');
  await expect(fetch(original.url)).rejects.toThrow();
  const restored = await launch(rig, image.ImageId!);
  const [machine, ip] = [restored.InstanceId!, restored.PrivateIpAddress!];
  const url = `http://${ip}:8800/`;
  // It came up with the machine, at the old address.
  await eventually(
    () => rig.aws.control.machines.run(machine, 'app status'),
    ({ code }) => code === 0,
  );
  await expect(fetch(url)).rejects.toThrow();
  const replaced = await run(rig, machine, [
    'app stop',
    `sed -i -E 's/(^|[^0-9.])${original.privateIp.replaceAll('.', '\\.')}([^0-9]|$)/\\1${ip}\\2/g' /etc/default/replicated /etc/default/replicated-operator`,
    'app start',
  ]);
  expect(replaced.Status).toBe('Success');
  expect((await answer(url)).code).toBe(503);
  expect((await run(rig, machine, ['app stop; rm -rf /opt/nomad; app start'])).Status).toBe('Success');
  expect(await answer(url)).toMatchObject({ code: 200, body: { status: 'ok' } });
  const stale = await run(rig, machine, ['list-builds --running']);
  expect(stale.StandardOutputContent).toBe(`${original.builds.at(-1)}\n`);
  const cleaned = await run(rig, machine, [
    `echo '(admin/delete-build "${original.builds.at(-1)}")' | circleci dev-console`,
  ]);
  expect(cleaned.StandardOutputContent).toBe(`user=> deleted ${original.builds.at(-1)}\n`);
  expect((await answer(url)).body.builds).toHaveLength(2);
  expect((await run(rig, machine, ['findmnt -n -o TARGET /opt/circleci/objects'])).StandardOutputContent).toBe(
    '/opt/circleci/objects\n',
  );
});

test('a restarted sandbox has its machines, images and snapshots, and finishes what was pending', async () => {
  rig.aws.control.setTiming({ imagePending: 600_000, snapshotPending: 600_000 });
  const pending = await rig.ec2.send(
    new CreateImageCommand({ InstanceId: id, Name: 'over a restart', NoReboot: true }),
  );
  expect((await imageOf(rig, pending.ImageId!)).State).toBe('pending');
  // With the timing that it has from its start.
  await rig.restart();
  const image = await eventually(
    () => imageOf(rig, pending.ImageId!),
    ({ State }) => State === 'available',
  );
  expect((await instanceOf(rig, id)).State!.Name).toBe('running');
  const copy = await launch(rig, image.ImageId!);
  expect(foldersOf(copy.InstanceId!).map(contents)).toEqual(foldersOf(id).map(contents));
  expect(readdirSync(join(rig.dir, 'aws', 'ec2', 'volumes')).filter((name) => name.endsWith('.part'))).toEqual([]);
});

// The SDKs read the other Query services' form too, and would hide it.
test('a refusal has the form that is EC2’s own', async () => {
  const answer = await fetch(rig.aws.url, {
    method: 'POST',
    headers: {
      'content-type': 'application/x-www-form-urlencoded',
      authorization: `AWS4-HMAC-SHA256 Credential=sandbox/20260101/us-east-1/ec2/aws4_request, SignedHeaders=host, Signature=${'0'.repeat(64)}`,
    },
    body: `Action=CreateImage&Version=2016-11-15&InstanceId=${id}`,
  });
  expect(answer.status).toBe(400);
  expect(await answer.text()).toMatch(
    /^<\?xml [^>]*>\n<Response><Errors><Error><Code>MissingParameter<\/Code><Message>.*<\/Message><\/Error><\/Errors><RequestID>[^<]+<\/RequestID><\/Response>$/,
  );
});

test('boto3, unmodified, takes an image, restores it and runs a command', async ({ skip }) => {
  const python = spawnSync('python3', ['-c', 'import boto3'], { encoding: 'utf8' });
  skip(python.status !== 0, `needs python3 with boto3 (pip install boto3): ${python.stderr ?? python.error?.message}`);
  const script = fileURLToPath(new URL('sandbox-machines-boto3.py', import.meta.url));
  const child = spawn('python3', [script, id], { env: { ...process.env, ...rig.aws.env } });
  let output = '';
  const read = (chunk: Buffer): void => {
    output += chunk.toString();
  };
  child.stdout.on('data', read);
  child.stderr.on('data', read);
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  expect(output).toMatch(/refused: InvalidAMIName.Duplicate AMI name boto-1 is already in use by AMI ami-/);
  expect(output).toContain("snapshots: [['completed', '100%'], ['completed', '100%']]");
  expect(output).toContain('said: hello');
  expect(output).toContain('dry: DryRunOperation');
  expect(output).toContain('done');
  expect(code).toBe(0);
});
