/** Images and snapshots: found, and removed. Both are ours alone (`Owners: self`). */
import {
  CreateTagsCommand,
  DeleteSnapshotCommand,
  DeregisterImageCommand,
  DescribeImagesCommand,
  paginateDescribeImages,
  paginateDescribeSnapshots,
  type Filter,
  type Image,
  type Snapshot,
} from '@aws-sdk/client-ec2';
import { ErrorType } from '../../spec/errors.ts';
import { ec2, type AwsTarget } from '../aws/clients.ts';
import { awsFailure, howToRetry, isCode } from '../aws/failure.ts';
import { permanent } from '../errors.ts';
import { tagList } from './tags.ts';
import { waitedMs } from './wait.ts';

/**
 * An image that is deregistered lets go of its snapshots within moments. After this the one that uses them is another one,
 * and what AWS refuses for a reason that we do not know is no passing state, ms. Else a backup would wait for ever, and
 * its schedule begin no further one.
 */
export const LETS_GO_MS = 5 * 60_000;

/** @throws cutover.Denied, cutover.Throttled, cutover.Unreachable */
export async function findImages(filters: Filter[], aws: AwsTarget = {}): Promise<Image[]> {
  const all: Image[] = [];
  try {
    const pages = paginateDescribeImages({ client: ec2(aws) }, { Owners: ['self'], ...filtered(filters) });
    for await (const { Images = [] } of pages) all.push(...Images);
  } catch (error) {
    throw awsFailure(error, 'DescribeImages');
  }
  return all;
}

/** Undefined where there is none, or none yet. @throws as findImages */
export async function describeImage(id: string, aws: AwsTarget = {}): Promise<Image | undefined> {
  try {
    const { Images = [] } = await ec2(aws).send(new DescribeImagesCommand({ ImageIds: [id] }));
    return Images[0];
  } catch (error) {
    if (isCode(error, 'InvalidAMIID.NotFound') || isCode(error, 'InvalidAMIID.Unavailable')) return undefined;
    throw awsFailure(error, `DescribeImages ${id}`);
  }
}

/** @throws as findImages */
export async function findSnapshots(filters: Filter[], aws: AwsTarget = {}): Promise<Snapshot[]> {
  const all: Snapshot[] = [];
  try {
    const pages = paginateDescribeSnapshots({ client: ec2(aws) }, { OwnerIds: ['self'], ...filtered(filters) });
    for await (const { Snapshots = [] } of pages) all.push(...Snapshots);
  } catch (error) {
    throw awsFailure(error, 'DescribeSnapshots');
  }
  return all;
}

/** Without any, all of them. */
const filtered = (filters: Filter[]) => (filters.length > 0 ? { Filters: filters } : {});

/** The snapshots that an image is made of. */
export function snapshotIdsOf(image: Image): string[] {
  return (image.BlockDeviceMappings ?? []).flatMap(({ Ebs }) => (Ebs?.SnapshotId ? [Ebs.SnapshotId] : []));
}

/**
 * Its snapshots stay. That it is gone already is fine.
 * @throws cutover.ServiceFailed where AWS refuses it for long; cutover.Busy, cutover.Denied, cutover.Throttled,
 *   cutover.Unreachable
 */
export async function deregister(imageId: string, aws: AwsTarget = {}): Promise<void> {
  try {
    await ec2(aws).send(new DeregisterImageCommand({ ImageId: imageId }));
  } catch (error) {
    if (isCode(error, 'InvalidAMIID.NotFound') || isCode(error, 'InvalidAMIID.Unavailable')) return;
    throw refused(error, `DeregisterImage ${imageId}`);
  }
}

/**
 * Deletes those that it can. That one is gone already is fine.
 * @returns those that an image uses
 * @throws as deregister
 */
export async function deleteSnapshots(snapshotIds: readonly string[], aws: AwsTarget = {}): Promise<string[]> {
  const inUse: string[] = [];
  for (const id of snapshotIds) {
    try {
      await ec2(aws).send(new DeleteSnapshotCommand({ SnapshotId: id }));
    } catch (error) {
      if (isCode(error, 'InvalidSnapshot.NotFound')) continue;
      if (!isCode(error, 'InvalidSnapshot.InUse')) throw refused(error, `DeleteSnapshot ${id}`);
      inUse.push(id);
    }
  }
  return inUse;
}

function refused(error: unknown, what: string): Error {
  const failure = awsFailure(error, what);
  const retry = howToRetry(error);
  if (failure === error || (retry !== 'unknown' && retry !== 'busy') || waitedMs() <= LETS_GO_MS) return failure;
  return permanent(ErrorType.serviceFailed, `${failure.message} (for more than ${LETS_GO_MS / 60_000} min)`, {
    remedy: 'look at it in the console and mend what keeps it; then retry',
  });
}

/** @throws cutover.NotFound, cutover.Denied, cutover.Throttled, cutover.Unreachable */
export async function addTags(ids: string[], tags: Record<string, string>, aws: AwsTarget = {}): Promise<void> {
  if (ids.length === 0) return;
  try {
    await ec2(aws).send(new CreateTagsCommand({ Resources: ids, Tags: tagList(tags) }));
  } catch (error) {
    throw awsFailure(error, `CreateTags of ${ids.join(', ')}`);
  }
}
