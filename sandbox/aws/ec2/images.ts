import type { DescribeImagesRequest, DescribeImagesResult, Image } from '@aws-sdk/client-ec2';
import type { Cloud } from '../cloud.ts';
import { AwsFault } from '../faults.ts';
import { imagesOf } from './base-image.ts';
import { invalid, stopIfDryRun } from './faults.ts';
import { filtered, paged } from './filters.ts';
import { findImage } from './find.ts';
import type { ImageState } from './state.ts';
import { tagList } from './tag-rules.ts';

export function describeImages(cloud: Cloud, input: DescribeImagesRequest): DescribeImagesResult {
  const seen = imagesOf(cloud.store.visible());
  const ids = input.ImageIds;
  const named = ids === undefined ? Object.values(seen) : [...new Set(ids)].map((id) => describable(cloud, id, seen));
  const visible = named.filter(({ visibleFrom }) => visibleFrom <= Date.now());
  const found = filtered(
    visible.filter((image) => ownedBy(cloud, image, input.Owners)),
    input.Filters,
    {
      'image-id': ({ id }) => [id],
      name: ({ name }) => [name],
      state: ({ state }) => [state],
      description: ({ description }) => [description],
      'owner-id': ({ ownerId }) => [ownerId],
      'is-public': ({ isPublic }) => [String(isPublic)],
      'root-device-name': ({ rootDevice }) => [rootDevice],
      'root-device-type': () => ['ebs'],
      'source-instance-id': ({ sourceInstanceId }) => [sourceInstanceId],
      'creation-date': ({ createdAt }) => [createdAt],
      architecture: () => ['x86_64'],
      'virtualization-type': () => ['hvm'],
      'image-type': () => ['machine'],
      'block-device-mapping.snapshot-id': ({ mappings }) => mappings.map(({ snapshotId }) => snapshotId),
    },
    ({ tags }) => tags,
  );
  stopIfDryRun(input);
  const { items, ...token } = paged(found, ({ id }) => id, input, { ids, min: 1 });
  return { Images: items.map(imageView), ...token };
}

/** A deregistered image is for Describe as if it had never been. */
function describable(cloud: Cloud, id: string, seen: Record<string, ImageState>): ImageState {
  try {
    return findImage(cloud, id, seen);
  } catch (error) {
    if (!(error instanceof AwsFault) || error.code !== 'InvalidAMIID.Unavailable') throw error;
    throw new AwsFault('InvalidAMIID.NotFound', `The image id '[${id}]' does not exist`);
  }
}

function ownedBy(cloud: Cloud, image: ImageState, owners: readonly string[] | undefined): boolean {
  return (
    owners === undefined ||
    owners.some((owner) => {
      if (!/^(self|amazon|aws-marketplace|aws-backup-vault|\d{12})$/.test(owner))
        throw invalid(`The owner '${owner}' is invalid`);
      return image.ownerId === (owner === 'self' ? cloud.account : owner) || (owner === 'amazon' && image.isPublic);
    })
  );
}

function imageView(image: ImageState): Image {
  const { reason, sourceInstanceId } = image;
  return {
    ImageId: image.id,
    Name: image.name,
    Description: image.description,
    ImageLocation: `${image.ownerId}/${image.name}`,
    ImageType: 'machine',
    OwnerId: image.ownerId,
    Public: image.isPublic,
    State: image.state,
    ...(reason === undefined ? {} : { StateReason: { Code: reason.code, Message: reason.message } }),
    ...(sourceInstanceId === undefined ? {} : { SourceInstanceId: sourceInstanceId }),
    CreationDate: image.createdAt,
    Architecture: 'x86_64',
    PlatformDetails: 'Linux/UNIX',
    UsageOperation: 'RunInstances',
    Hypervisor: 'xen',
    VirtualizationType: 'hvm',
    EnaSupport: true,
    RootDeviceName: image.rootDevice,
    RootDeviceType: 'ebs',
    BlockDeviceMappings: image.mappings.map((mapping) => ({
      DeviceName: mapping.device,
      Ebs: {
        SnapshotId: mapping.snapshotId,
        VolumeSize: mapping.size,
        VolumeType: mapping.type as 'gp3',
        DeleteOnTermination: mapping.deleteOnTermination,
        Encrypted: mapping.encrypted,
      },
    })),
    Tags: tagList(image.tags),
  };
}
