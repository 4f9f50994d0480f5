/** Images and snapshots: found, and removed. Both are ours alone (`Owners: self`). */
import {
  CreateTagsCommand,
  DeleteSnapshotCommand,
  DeregisterImageCommand,
  DescribeImagesCommand,
  DescribeSnapshotsCommand,
  type Filter,
  type Image,
  type Snapshot,
} from '@aws-sdk/client-ec2';
import { ErrorType } from '../../spec/errors.ts';
import { ec2, type AwsTarget } from '../aws/clients.ts';
import { awsFailure, isCode } from '../aws/failure.ts';
import { transient } from '../errors.ts';
import { tagList } from './tags.ts';

/** @throws cutover.Denied, cutover.Throttled, cutover.Unreachable */
export async function findImages(filters: Filter[], aws: AwsTarget = {}): Promise<Image[]> {
  const all: Image[] = [];
  try {
    for (let token: string | undefined, more = true; more; more = token !== undefined) {
      const answer = await ec2(aws).send(
        new DescribeImagesCommand({
          Owners: ['self'],
          ...(filters.length > 0 ? { Filters: filters } : {}),
          ...(token ? { NextToken: token } : {}),
        }),
      );
      all.push(...(answer.Images ?? []));
      token = answer.NextToken || undefined;
    }
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
    for (let token: string | undefined, more = true; more; more = token !== undefined) {
      const answer = await ec2(aws).send(
        new DescribeSnapshotsCommand({
          OwnerIds: ['self'],
          ...(filters.length > 0 ? { Filters: filters } : {}),
          ...(token ? { NextToken: token } : {}),
        }),
      );
      all.push(...(answer.Snapshots ?? []));
      token = answer.NextToken || undefined;
    }
  } catch (error) {
    throw awsFailure(error, 'DescribeSnapshots');
  }
  return all;
}

/** The snapshots that an image is made of. */
export function snapshotIdsOf(image: Image): string[] {
  return (image.BlockDeviceMappings ?? []).flatMap(({ Ebs }) => (Ebs?.SnapshotId ? [Ebs.SnapshotId] : []));
}

/** Its snapshots stay. That it is gone already is fine. @throws cutover.Denied, cutover.Throttled, cutover.Unreachable */
export async function deregister(imageId: string, aws: AwsTarget = {}): Promise<void> {
  try {
    await ec2(aws).send(new DeregisterImageCommand({ ImageId: imageId }));
  } catch (error) {
    if (isCode(error, 'InvalidAMIID.NotFound') || isCode(error, 'InvalidAMIID.Unavailable')) return;
    throw awsFailure(error, `DeregisterImage ${imageId}`);
  }
}

/** That it is gone already is fine. @throws cutover.Busy while an image uses it; else as deregister */
export async function deleteSnapshot(snapshotId: string, aws: AwsTarget = {}): Promise<void> {
  try {
    await ec2(aws).send(new DeleteSnapshotCommand({ SnapshotId: snapshotId }));
  } catch (error) {
    if (isCode(error, 'InvalidSnapshot.NotFound')) return;
    if (isCode(error, 'InvalidSnapshot.InUse')) {
      throw transient(ErrorType.busy, `DeleteSnapshot ${snapshotId}: an image uses it still`, {
        remedy: 'an image that is deregistered lets go of it within moments; another one has to be deregistered first',
        afterMs: 5_000,
        benign: true,
      });
    }
    throw awsFailure(error, `DeleteSnapshot ${snapshotId}`);
  }
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
