/** Checks of `machine-backup` (facts/redis-aws 3.5, 3.6). Changes nothing. */
import { CreateImageCommand, CreateSnapshotsCommand, DescribeInstanceTypesCommand } from '@aws-sdk/client-ec2';
import type { MachineBackup } from '../../spec/kind-machine-backup.ts';
import { selectorText } from '../../spec/machine.ts';
import { summarisePreflight, type PreflightReport } from '../../spec/preflight.ts';
import { ec2 } from '../aws/clients.ts';
import { findMachine, type MachineFacts } from '../ec2/instance.ts';
import { tagList } from '../ec2/tags.ts';
import { pass, unknown, unmet, warn, type Check } from '../preflight/check.ts';
import { runChecks } from '../preflight/run-checks.ts';
import { readAgent } from '../ssm/agent.ts';
import { backupTags } from './backup-tags.ts';
import { backupsOf } from './list-backups.ts';
import { dryRun } from './dry-run.ts';

interface Context {
  migration: MachineBackup;
  machine: MachineFacts;
}

/** @throws what findMachine throws: without the machine there is nothing to check */
export async function preflightMachineBackup({ migration }: { migration: MachineBackup }): Promise<PreflightReport> {
  const machine = await findMachine(migration.instance, migration.aws);
  const hasCommands = migration.before.length > 0;
  const checks = [
    running,
    volumes,
    encryption,
    instanceStore,
    permission,
    shutdown,
    ...(hasCommands ? [agent] : []),
    ...(migration.retention ? [former] : []),
  ];
  return summarisePreflight(await runChecks(checks, { migration, machine }));
}

const look = ({ machine }: Context) => `aws ec2 describe-instances --instance-ids ${machine.id}`;

const running: Check<Context> = {
  id: 'M1',
  title: 'the machine is there, and runs',
  severity: 'fail',
  remedy: () => 'start it, or leave before and after out: a stopped machine is backed up as it is',
  byHand: look,
  run: async ({ migration, machine }) => {
    const found = `${machine.id}${machine.name ? ` (${machine.name})` : ''} is ${machine.state}`;
    if (machine.state === 'running') return pass(found);
    if (machine.state === 'stopped' && migration.before.length === 0) return pass(`${found}: its backup is consistent`);
    return unmet(found);
  },
};

const volumes: Check<Context> = {
  id: 'M2',
  title: 'its volumes can be snapshotted',
  severity: 'fail',
  remedy: () =>
    'a machine whose root is an instance store has no volume to take a snapshot of; wait for a volume that is being attached',
  byHand: look,
  run: async ({ machine }) => {
    const list = machine.volumes.map(({ id, device, sizeGiB }) => `${id} ${device} ${sizeGiB ?? '?'} GiB`).join(', ');
    if (machine.volumes.length === 0 || machine.rootDeviceType === 'instance-store') {
      return unmet(`root device: ${machine.rootDeviceType ?? '?'}; EBS volumes: ${list || 'none'}`);
    }
    const busy = machine.volumes.filter(({ state }) => state !== undefined && state !== 'in-use');
    return busy.length > 0 ? unmet(busy.map((v) => `${v.id} is ${v.state}`).join(', ')) : pass(list);
  },
};

const encryption: Check<Context> = {
  id: 'M3',
  title: 'its volumes are encrypted',
  severity: 'warn',
  remedy: () =>
    'the snapshots are as readable as the volumes: encrypt them, or switch encryption by default on: aws ec2 enable-ebs-encryption-by-default',
  byHand: look,
  run: async ({ machine }) => {
    const plain = machine.volumes.filter(({ encrypted }) => encrypted !== true);
    if (plain.length > 0) return unmet(`not encrypted: ${plain.map(({ id }) => id).join(', ')}`);
    const keys = [...new Set(machine.volumes.flatMap(({ kmsKeyId }) => (kmsKeyId ? [kmsKeyId] : [])))];
    return pass(`by ${keys.join(', ') || 'a key of AWS’s'}; a restore needs the same key`);
  },
};

const instanceStore: Check<Context> = {
  id: 'M4',
  title: 'nothing lies on an instance store',
  severity: 'warn',
  remedy: () => 'an instance store is in no image and no snapshot: back up what lies there by other means',
  byHand: ({ machine }) => `does ${machine.type ?? 'its type'} have an instance store? On the machine: lsblk`,
  run: async ({ migration, machine }) => {
    if (machine.type === undefined) return unknown('AWS does not tell its type');
    const { InstanceTypes = [] } = await ec2(migration.aws).send(
      new DescribeInstanceTypesCommand({ InstanceTypes: [machine.type as never] }),
    );
    const [type] = InstanceTypes;
    if (!type) return unknown(`${machine.type} is not known`);
    const size = type.InstanceStorageInfo?.TotalSizeInGB ?? 0;
    return type.InstanceStorageSupported === true && size > 0
      ? warn(`${machine.type} has an instance store of ${size} GB`)
      : pass(`${machine.type} has none`);
  },
};

const permission: Check<Context> = {
  id: 'M5',
  title: 'the worker may take the backup',
  severity: 'fail',
  remedy: () => 'docs/machines.md lists the permissions',
  byHand: ({ machine }) => `aws ec2 create-image --dry-run --no-reboot --name test --instance-id ${machine.id}`,
  run: ({ migration, machine }) => {
    const client = ec2(migration.aws);
    const Name = `${migration.id}-dry-run`;
    const ours = { migrationId: migration.id, run: 'preflight', aws: migration.aws };
    // As it will be asked for: a policy may allow it without tags, and refuse it with them.
    const Tags = tagList(backupTags(ours, Name, machine, migration));
    const InstanceId = machine.id;
    if (migration.method === 'snapshots') {
      return dryRun('CreateSnapshots', () =>
        client.send(
          new CreateSnapshotsCommand({
            DryRun: true,
            InstanceSpecification: { InstanceId },
            TagSpecifications: [{ ResourceType: 'snapshot', Tags }],
          }),
        ),
      );
    }
    return dryRun('CreateImage', () =>
      client.send(
        new CreateImageCommand({
          DryRun: true,
          NoReboot: true,
          InstanceId,
          Name,
          TagSpecifications: [
            { ResourceType: 'image', Tags },
            { ResourceType: 'snapshot', Tags },
          ],
        }),
      ),
    );
  },
};

const shutdown: Check<Context> = {
  id: 'M6',
  title: 'the machine goes on running',
  severity: 'warn',
  remedy: () => 'leave reboot out to take the image without a reboot; it is then crash-consistent',
  byHand: look,
  run: async ({ migration, machine }) =>
    migration.reboot ? unmet(`reboot: true: ${machine.id} is shut down and started again`) : pass('no reboot'),
};

const agent: Check<Context> = {
  id: 'M7',
  title: 'SSM reaches it, for before and after',
  severity: 'fail',
  remedy: ({ machine }) =>
    `start amazon-ssm-agent on ${machine.id}; its profile needs AmazonSSMManagedInstanceCore, its network SSM's endpoints`,
  byHand: ({ machine }) => `aws ssm describe-instance-information --filters Key=InstanceIds,Values=${machine.id}`,
  run: async ({ migration, machine }) => {
    const { online, status, version } = await readAgent(machine.id, migration.aws);
    return online ? pass(`Online, agent ${version ?? 'of unknown version'}`) : unmet(`its agent is ${status}`);
  },
};

const former: Check<Context> = {
  id: 'M8',
  title: 'earlier backups are whole',
  severity: 'warn',
  remedy: () => 'retention never deletes the last complete one: look at them: cutover snapshots',
  byHand: () => 'cutover snapshots',
  run: async ({ migration, machine }) => {
    const all = await backupsOf({ migrationId: migration.id, instanceId: machine.id }, migration.aws);
    const broken = all.filter(({ complete, pending }) => !complete && !pending);
    const found = `${all.length} by this migration of ${selectorText(migration.instance)}`;
    return broken.length === 0
      ? pass(found)
      : unmet(`${found}; not whole: ${broken.map(({ id, problem }) => `${id} (${problem})`).join(', ')}`);
  },
};
