/** Checks of `machine-restore` (facts/redis-aws 3.5, 3.6). Changes nothing. */
import { DescribeSecurityGroupsCommand, DescribeSubnetsCommand, RunInstancesCommand } from '@aws-sdk/client-ec2';
import type { MachineRestore } from '../../spec/kind-machine-restore.ts';
import { summarisePreflight, type PreflightReport } from '../../spec/preflight.ts';
import { ec2 } from '../aws/clients.ts';
import { isCode } from '../aws/failure.ts';
import { pass, unknown, unmet, warn, type Check } from '../preflight/check.ts';
import { runChecks } from '../preflight/run-checks.ts';
import { chooseMachineBackup, type Chosen } from './choose-backup.ts';
import { dryRun } from './dry-run.ts';
import { runInstancesInput } from './launch.ts';

interface Context {
  migration: MachineRestore;
  chosen: Chosen;
}

/** @throws what chooseMachineBackup throws: without a backup there is nothing to restore */
export async function preflightMachineRestore({ migration }: { migration: MachineRestore }): Promise<PreflightReport> {
  const chosen = await chooseMachineBackup({ migration });
  const checks = [
    image,
    settings,
    network,
    permission,
    oldMachine,
    ...(migration.steps.some(({ type }) => type === 'replace-addresses') ? [addresses] : []),
    ...(migration.steps.some(({ type }) => type !== 'http') ? [profile] : []),
  ];
  return summarisePreflight(await runChecks(checks, { migration, chosen }));
}

const look = ({ chosen }: Context) => `aws ec2 describe-images --image-ids ${chosen.imageId}`;

const image: Check<Context> = {
  id: 'R1',
  title: 'the backup is whole',
  severity: 'fail',
  remedy: () => 'choose another one: cutover snapshots',
  byHand: look,
  run: async ({ chosen }) => {
    const { imageId, name, createdAt, volumes, consistency } = chosen;
    const found = `${imageId} ${name}, ${createdAt ?? 'of unknown age'}, ${volumes} volume(s)`;
    if (consistency === 'application') return pass(`${found}, application-consistent`);
    if (consistency === 'shut-down') return pass(`${found}, of a machine that was shut down`);
    return warn(
      `${found}, crash-consistent`,
      'what applications had in memory is not in it: let them check their data at the start, and clean up what was cut short',
    );
  },
};

const settings: Check<Context> = {
  id: 'R2',
  title: 'what the machine is to be is known',
  severity: 'fail',
  remedy: () => 'name what is missing in the file, under instance',
  byHand: look,
  run: async ({ chosen }) => {
    const { type, subnet, securityGroups, key, profile } = chosen.settings;
    const found = `type ${type ?? '?'}, subnet ${subnet ?? 'the default'}, groups ${securityGroups?.join(' ') ?? 'the default'}, key ${key ?? 'none'}, profile ${profile ?? 'none'}`;
    return type === undefined ? unmet(found) : pass(found);
  },
};

const network: Check<Context> = {
  id: 'R3',
  title: 'its subnet and security groups are there',
  severity: 'fail',
  remedy: () => 'name others in the file: instance: { subnet: …, securityGroups: […] }',
  byHand: ({ chosen }) => `aws ec2 describe-subnets --subnet-ids ${chosen.settings.subnet ?? '…'}`,
  run: async ({ migration, chosen }) => {
    const { subnet, securityGroups } = chosen.settings;
    const client = ec2(migration.aws);
    try {
      if (securityGroups && securityGroups.length > 0) {
        await client.send(new DescribeSecurityGroupsCommand({ GroupIds: securityGroups }));
      }
      if (subnet === undefined) return pass('the default subnet');
      const { Subnets = [] } = await client.send(new DescribeSubnetsCommand({ SubnetIds: [subnet] }));
      const free = Subnets[0]?.AvailableIpAddressCount;
      if (free === 0) return unmet(`${subnet} has no free address`);
      return pass(`${subnet}, ${free ?? '?'} free addresses`);
    } catch (error) {
      if (isCode(error, 'InvalidSubnetID.NotFound')) return unmet(`there is no subnet ${subnet}`);
      if (isCode(error, 'InvalidGroup.NotFound')) return unmet(`not all of ${securityGroups?.join(', ')} are there`);
      throw error;
    }
  },
};

const permission: Check<Context> = {
  id: 'R4',
  title: 'the worker may start it',
  severity: 'fail',
  remedy: () => 'docs/machines.md lists the permissions; a profile needs iam:PassRole too',
  byHand: ({ chosen }) => `aws ec2 run-instances --dry-run --image-id ${chosen.imageId}`,
  run: async ({ migration, chosen }) => {
    if (chosen.settings.type === undefined) return unknown('it can be asked for once its type is known');
    // All that the launch itself asks for: a policy may allow it without a tag or a profile, and refuse it with one.
    const ours = { migrationId: migration.id, run: 'preflight', aws: migration.aws };
    const { ClientToken: _, ...input } = runInstancesInput({ ours, chosen, attempt: 1, migration });
    return dryRun('RunInstances', () => ec2(migration.aws).send(new RunInstancesCommand({ ...input, DryRun: true })));
  },
};

const oldMachine: Check<Context> = {
  id: 'R5',
  title: 'the old machine is not beside it',
  severity: 'warn',
  remedy: ({ migration, chosen }) =>
    migration.drill
      ? `the drill's machine starts as a copy of ${chosen.source}: give it a subnet and groups of its own, from which it can't reach what the old one works on`
      : `two machines of one configuration may do the same work twice: stop ${chosen.source} first where that matters`,
  byHand: ({ chosen }) => `aws ec2 describe-instances --instance-ids ${chosen.source ?? '…'}`,
  run: async ({ chosen }) => {
    if (chosen.source === undefined) return unknown('the backup does not say of which machine it is');
    return chosen.sourceState === 'running' || chosen.sourceState === 'pending'
      ? unmet(`${chosen.source} is ${chosen.sourceState}`)
      : pass(`${chosen.source} is ${chosen.sourceState ?? 'gone'}`);
  },
};

const addresses: Check<Context> = {
  id: 'R6',
  title: 'the old machine’s addresses are known',
  severity: 'fail',
  remedy: () => 'name them in the file: oldAddresses: { private: […], public: […] }',
  byHand: look,
  run: async ({ migration, chosen }) => {
    const { old } = chosen;
    // As the step itself has it: `also` alone is something to replace.
    const without = migration.steps.filter(
      (step) => step.type === 'replace-addresses' && Object.keys(step.also).length === 0,
    );
    if (old.private.length === 0 && without.length > 0) return unmet('no private address');
    if (old.private.length === 0) return pass('no private address; the file has what is replaced (also)');
    const found = `private ${old.private.join(', ')}; public ${old.public.join(', ') || 'none'}`;
    return pass(found);
  },
};

const profile: Check<Context> = {
  id: 'R7',
  title: 'SSM will reach it',
  severity: 'warn',
  remedy: () =>
    'without an instance profile its agent has no permission, unless the account has Default Host Management: name one as instance.profile',
  byHand: look,
  run: async ({ chosen }) =>
    chosen.settings.profile === undefined
      ? unmet('it has no instance profile')
      : pass(`its profile is ${chosen.settings.profile}; it needs AmazonSSMManagedInstanceCore`),
};
