/** Machines on a stage: the sandbox's EC2 and SSM, where a machine is a folder with processes of its own. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  DescribeImagesCommand,
  DescribeInstancesCommand,
  DescribeSnapshotsCommand,
  DescribeVolumesCommand,
  EC2Client,
  type Image,
  type Instance,
  type Snapshot,
  type Volume,
} from '@aws-sdk/client-ec2';
import { parse } from 'yaml';
import { startMigration, WrongFile, type MigrationHandle } from '../../client/index.ts';
import { startAws, type Aws } from '../../sandbox/aws/index.ts';
import { ensureTool } from '../../sandbox/runtime/tools.ts';
import { named } from './second-attempt.ts';
import type { Stage } from './stage.ts';

export async function openMachinesAws(stage: Stage): Promise<Aws> {
  const { path } = await ensureTool('redis-server');
  const aws = await startAws({ dir: join(stage.dir, 'aws'), redisServer: path });
  return stage.endLater(aws, () => aws.stop());
}

/** What a worker needs to reach that AWS; it is asked ten times a second instead of every 5 s. */
export function machineWorker(aws: Aws): Record<string, string> {
  return { ...aws.env, CUTOVER_AWS_POLL_MS: '100' };
}

export class Machines {
  readonly aws: Aws;
  private readonly client: EC2Client;

  constructor(stage: Stage, aws: Aws) {
    this.aws = aws;
    const credentials = { accessKeyId: 'sandbox', secretAccessKey: 'sandbox' };
    this.client = new EC2Client({ endpoint: aws.url, region: aws.region, credentials });
    stage.endLater(this.client, async () => this.client.destroy());
  }

  /** Everything that a migration made, or all there is. */
  async images(migration?: string): Promise<Image[]> {
    const { Images = [] } = await this.client.send(
      new DescribeImagesCommand({ Owners: ['self'], ...tagged(migration) }),
    );
    return Images;
  }

  async snapshots(migration?: string): Promise<Snapshot[]> {
    const { Snapshots = [] } = await this.client.send(
      new DescribeSnapshotsCommand({ OwnerIds: ['self'], ...tagged(migration) }),
    );
    return Snapshots;
  }

  /** Those that are not terminated. */
  async living(migration?: string): Promise<Instance[]> {
    const { Reservations = [] } = await this.client.send(new DescribeInstancesCommand(tagged(migration)));
    return Reservations.flatMap(({ Instances = [] }) => Instances).filter(
      ({ State }) => State?.Name !== 'terminated' && State?.Name !== 'shutting-down',
    );
  }

  /** By tags: those that live, and those that are on their way out or gone. */
  async madeBy(migration: string, tags: Record<string, string>): Promise<{ living: Instance[]; ended: Instance[] }> {
    const more = Object.entries(tags).map(([key, value]) => ({ Name: `tag:${key}`, Values: [value] }));
    const Filters = [...(tagged(migration).Filters ?? []), ...more];
    const { Reservations = [] } = await this.client.send(new DescribeInstancesCommand({ Filters }));
    const all = Reservations.flatMap(({ Instances = [] }) => Instances);
    const isEnded = ({ State }: Instance) => State?.Name === 'terminated' || State?.Name === 'shutting-down';
    return { living: all.filter((one) => !isEnded(one)), ended: all.filter(isEnded) };
  }

  async volumes(migration: string): Promise<Volume[]> {
    const { Volumes = [] } = await this.client.send(new DescribeVolumesCommand(tagged(migration)));
    return Volumes;
  }

  ec2(): EC2Client {
    return this.client;
  }
}

function tagged(migration: string | undefined) {
  return migration === undefined ? {} : { Filters: [{ Name: 'tag:cutover:migration', Values: [named(migration)] }] };
}

/** A second attempt of a test begins migrations of its own, and is shown theirs by the names of the first. */
export function begin(stage: Stage, migration: Record<string, unknown>): Promise<MigrationHandle> {
  const id = named(String(migration['id']));
  return startMigration(stage.client, { migration: { crashDetection: '2s', ...migration, id } as never });
}

/** What is wrong with a file that is refused. @throws Error where it is not */
export async function problemsOf(start: Promise<MigrationHandle>): Promise<string> {
  try {
    await start;
  } catch (error) {
    if (error instanceof WrongFile) return error.problems.map(({ message }) => message).join('\n');
    throw error;
  }
  throw new Error('the file was not refused');
}

/** An example file as it stands, as an object. */
export function example(name: string): Record<string, unknown> {
  return parse(readFileSync(new URL(`../../examples/${name}`, import.meta.url), 'utf8')) as Record<string, unknown>;
}
