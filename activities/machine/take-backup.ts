/** Begins a backup: the point in time is fixed once the call has returned. Adopted after a crash. */
import { randomUUID } from 'node:crypto';
import { CreateImageCommand, CreateSnapshotsCommand } from '@aws-sdk/client-ec2';
import { Context, sleep } from '@temporalio/activity';
import { ErrorType } from '../../spec/errors.ts';
import type { MachineBackup } from '../../spec/kind-machine-backup.ts';
import { ec2Once } from '../aws/clients.ts';
import { awsFailure, isCode } from '../aws/failure.ts';
import { pollInterval } from '../aws/poll-interval.ts';
import { findImages, findSnapshots } from '../ec2/images.ts';
import type { MachineFacts } from '../ec2/instance.ts';
import { isOurs, oursFilters, TAG, tagFilter, tagList, tagsOf, type Ours } from '../ec2/tags.ts';
import { READINGS_OF_NOTHING } from '../ec2/wait.ts';
import { permanent, transient } from '../errors.ts';
import { backupTags } from './backup-tags.ts';

export interface TakeArgs {
  ours: Ours;
  /** Of the image, or the set of snapshots; another one for each try. */
  name: string;
  machine: MachineFacts;
  migration: Pick<MachineBackup, 'method' | 'reboot' | 'tags'>;
}

export interface Taken {
  method: 'image' | 'snapshots';
  name: string;
  imageId?: string;
  /** Of a set: its call, and what it was answered. */
  call?: string;
  snapshotIds?: string[];
  adopted: boolean;
}

/**
 * @throws cutover.NotOurs (the name is taken), cutover.Busy, cutover.Invalid, cutover.NotFound, cutover.Denied,
 *   cutover.Throttled (one snapshot per volume in 15 s), cutover.Unreachable
 */
export async function takeMachineBackup(args: TakeArgs): Promise<Taken> {
  return args.migration.method === 'image' ? await takeImage(args) : await takeSnapshots(args);
}

async function takeImage(args: TakeArgs): Promise<Taken> {
  const { ours, name, machine, migration } = args;
  const what = `CreateImage ${name} of ${machine.id}`;
  const existing = await findImage(args, what);
  if (existing !== undefined) return { method: 'image', name, imageId: existing, adopted: true };
  const tags = tagList(backupTags(ours, name, machine, migration));
  try {
    const { ImageId } = await ec2Once(ours.aws).send(
      new CreateImageCommand({
        InstanceId: machine.id,
        Name: name,
        Description: `cutover ${ours.migrationId}: ${machine.name ?? machine.id}`,
        // AWS's default is to reboot: said either way.
        NoReboot: !migration.reboot,
        TagSpecifications: [
          { ResourceType: 'image', Tags: tags },
          { ResourceType: 'snapshot', Tags: tags },
        ],
      }),
    );
    if (!ImageId) throw transient(ErrorType.unreachable, `${what}: the answer is not EC2's`);
    return { method: 'image', name, imageId: ImageId, adopted: false };
  } catch (error) {
    if (!isCode(error, 'InvalidAMIName.Duplicate')) throw startFailure(error, what);
    const found = await findImage(args, what);
    if (found !== undefined) return { method: 'image', name, imageId: found, adopted: true };
    throw transient(ErrorType.busy, `${what}: AWS says it exists, and does not show it yet`, {
      afterMs: 5_000,
      benign: true,
    });
  }
}

async function findImage({ ours, name }: TakeArgs, what: string): Promise<string | undefined> {
  const [image] = await findImages([{ Name: 'name', Values: [name] }], ours.aws);
  if (!image?.ImageId) return undefined;
  if (isOurs(ours, image.Tags)) return image.ImageId;
  const owner = tagsOf(image.Tags)[TAG.migration];
  throw permanent(
    ErrorType.notOurs,
    `${what}: there is an image ${image.ImageId} of that name already, and it ${owner === undefined ? 'was not made by cutover' : `is another run's of ${owner}`}`,
    { remedy: `deregister it, or give the migration another id: aws ec2 deregister-image --image-id ${image.ImageId}` },
  );
}

async function takeSnapshots(args: TakeArgs): Promise<Taken> {
  const { ours, name, machine, migration } = args;
  const what = `CreateSnapshots of ${machine.id}`;
  const existing = await findSet(args);
  if (existing) return existing;
  const call = randomUUID();
  const tags = tagList({ ...backupTags(ours, name, machine, migration), [TAG.call]: call });
  try {
    const { Snapshots = [] } = await ec2Once(ours.aws).send(
      new CreateSnapshotsCommand({
        InstanceSpecification: { InstanceId: machine.id, ExcludeBootVolume: false },
        Description: `cutover ${ours.migrationId}: ${machine.name ?? machine.id}`,
        TagSpecifications: [{ ResourceType: 'snapshot', Tags: tags }],
      }),
    );
    const snapshotIds = Snapshots.flatMap(({ SnapshotId }) => (SnapshotId ? [SnapshotId] : []));
    if (snapshotIds.length === 0) throw transient(ErrorType.unreachable, `${what}: the answer is not EC2's`);
    return { method: 'snapshots', name, call, snapshotIds, adopted: false };
  } catch (error) {
    throw startFailure(error, what);
  }
}

/** The set that an earlier attempt has begun. It may take moments to be seen, so after a crash it is looked for longer. */
async function findSet({ ours, name }: TakeArgs): Promise<Taken | undefined> {
  const readings = Context.current().info.attempt > 1 ? READINGS_OF_NOTHING : 1;
  for (let reading = 1; reading <= readings; reading += 1) {
    if (reading > 1) await sleep(pollInterval());
    const found = await findSnapshots([...oursFilters(ours), tagFilter(TAG.name, name)], ours.aws);
    // Two calls may both have been carried out. Snapshots of one call belong to one moment; the others are removed later.
    const call = tagsOf(found[0]?.Tags)[TAG.call];
    if (call === undefined) continue;
    const set = found.filter((snapshot) => tagsOf(snapshot.Tags)[TAG.call] === call);
    const snapshotIds = set.flatMap(({ SnapshotId }) => (SnapshotId ? [SnapshotId] : []));
    return { method: 'snapshots', name, call, snapshotIds, adopted: true };
  }
  return undefined;
}

function startFailure(error: unknown, what: string): Error {
  if (isCode(error, 'SnapshotCreationPerVolumeRateExceeded')) {
    return transient(ErrorType.throttled, `${what}: a snapshot of one of its volumes was begun just now`, {
      remedy: 'nothing to do: AWS allows one for each volume in 15 s, it is tried again',
      afterMs: 20_000,
      benign: true,
    });
  }
  if (isCode(error, 'IncorrectState') || isCode(error, 'IncorrectInstanceState')) {
    return transient(ErrorType.busy, `${what}: the machine, or another snapshot of it, is in a state that will pass`, {
      afterMs: 15_000,
      benign: true,
    });
  }
  return awsFailure(error, what);
}
