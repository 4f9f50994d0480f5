import type {
  CreateSnapshotRequest,
  CreateSnapshotsRequest,
  CreateSnapshotsResult,
  DeleteSnapshotRequest,
  DescribeSnapshotsRequest,
  DescribeSnapshotsResult,
  Snapshot,
} from '@aws-sdk/client-ec2';
import type { Cloud } from '../cloud.ts';
import { AwsFault } from '../faults.ts';
import { incorrectState, invalid, stopIfDryRun } from './faults.ts';
import { filtered, paged } from './filters.ts';
import { findInstance, findSnapshot, findVolume } from './find.ts';
import { dropFolder, snapshotFolder } from './folders.ts';
import { volumesOf } from './machines.ts';
import { addSnapshot, copyNow } from './snapshot-taking.ts';
import type { VolumeSnapshotState } from './state.ts';
import { tagList, tagsByKind } from './tag-rules.ts';

const MOST_EXCLUDED = 40;

export async function createSnapshot(cloud: Cloud, input: CreateSnapshotRequest): Promise<Snapshot> {
  const volume = findVolume(cloud, input.VolumeId ?? '');
  if (volume.state !== 'available' && volume.state !== 'in-use') {
    throw new AwsFault('IncorrectState', `The volume '${volume.id}' is ${volume.state}.`);
  }
  const tags = tagsByKind(input.TagSpecifications, ['snapshot'])['snapshot'] ?? {};
  stopIfDryRun(input);
  const snapshot = addSnapshot(cloud, volume, { description: input.Description ?? '', tags });
  await copyNow(cloud, volume.attachment?.instanceId, [snapshot]);
  return snapshotView(cloud, snapshot);
}

/** All volumes of one machine at one moment: crash-consistent across them (facts 3.5). */
export async function createSnapshots(cloud: Cloud, input: CreateSnapshotsRequest): Promise<CreateSnapshotsResult> {
  const { InstanceId = '', ExcludeBootVolume, ExcludeDataVolumeIds: excluded = [] } = input.InstanceSpecification ?? {};
  const instance = findInstance(cloud, InstanceId);
  if (instance.state !== 'running' && instance.state !== 'stopped') {
    throw incorrectState(`The instance '${instance.id}' is ${instance.state}: it must be running or stopped.`);
  }
  if (excluded.length > MOST_EXCLUDED) throw invalid(`At most ${MOST_EXCLUDED} data volumes can be excluded.`);
  if (input.CopyTagsFromSource !== undefined && input.CopyTagsFromSource !== 'volume') {
    throw invalid(`Invalid value '${String(input.CopyTagsFromSource)}' for CopyTagsFromSource.`);
  }
  const all = volumesOf(cloud, instance);
  const isRoot = (device: string | undefined): boolean => device === instance.rootDevice;
  for (const id of excluded) {
    const volume = all.find((each) => each.id === id);
    if (volume === undefined || isRoot(volume.attachment?.device)) {
      throw invalid(`The volume '${id}' is not a data volume of instance '${instance.id}'.`);
    }
  }
  const volumes = all.filter(
    ({ id, attachment }) => !excluded.includes(id) && !(ExcludeBootVolume === true && isRoot(attachment?.device)),
  );
  if (volumes.length === 0) throw invalid(`The instance '${instance.id}' has no volume left to take a snapshot of.`);
  const given = tagsByKind(input.TagSpecifications, ['snapshot'])['snapshot'] ?? {};
  stopIfDryRun(input);
  const snapshots = volumes.map((volume) => {
    const copied = input.CopyTagsFromSource === 'volume' ? volume.tags : {};
    return addSnapshot(cloud, volume, { description: input.Description ?? '', tags: { ...copied, ...given } });
  });
  await copyNow(cloud, instance.id, snapshots);
  return {
    Snapshots: snapshots.map((snapshot) => {
      const { FullSnapshotSizeInBytes: _, StorageTier: __, ...view } = snapshotView(cloud, snapshot);
      return view;
    }),
  };
}

export function describeSnapshots(cloud: Cloud, input: DescribeSnapshotsRequest): DescribeSnapshotsResult {
  const seen = cloud.store.visible().ec2.snapshots;
  const ids = input.SnapshotIds;
  const named = ids === undefined ? Object.values(seen) : [...new Set(ids)].map((id) => findSnapshot(cloud, id, seen));
  const owned = owns(cloud, input.OwnerIds) ? named : [];
  const found = filtered(
    owned,
    input.Filters,
    {
      'snapshot-id': ({ id }) => [id],
      'volume-id': ({ volumeId }) => [volumeId],
      status: ({ state }) => [state],
      description: ({ description }) => [description],
      'volume-size': ({ size }) => [String(size)],
      'owner-id': () => [cloud.account],
      'start-time': ({ startedAt }) => [startedAt],
      encrypted: ({ encrypted }) => [String(encrypted)],
      progress: (snapshot) => [progressOf(snapshot)],
      'storage-tier': () => ['standard'],
    },
    ({ tags }) => tags,
  );
  stopIfDryRun(input);
  const { items, ...token } = paged(found, ({ id }) => id, input, { ids });
  return { Snapshots: items.map((snapshot) => snapshotView(cloud, snapshot)), ...token };
}

/** The account's own are all that there are: another's are never asked for by anybody here. */
function owns(cloud: Cloud, owners: readonly string[] | undefined): boolean {
  if (owners === undefined) return true;
  for (const owner of owners) {
    if (!/^(self|amazon|aws-marketplace|aws-backup-vault|\d{12})$/.test(owner))
      throw invalid(`The owner '${owner}' is invalid`);
  }
  return owners.includes('self') || owners.includes(cloud.account);
}

export function deleteSnapshot(cloud: Cloud, input: DeleteSnapshotRequest): object {
  const snapshot = findSnapshot(cloud, input.SnapshotId ?? '');
  checkUnused(cloud, snapshot.id);
  stopIfDryRun(input);
  dropSnapshot(cloud, snapshot.id);
  return {};
}

/** @throws AwsFault InvalidSnapshot.InUse */
function checkUnused(cloud: Cloud, id: string): void {
  const image = Object.values(cloud.store.state.ec2.images).find(({ mappings }) =>
    mappings.some(({ snapshotId }) => snapshotId === id),
  );
  if (image === undefined) return;
  throw new AwsFault('InvalidSnapshot.InUse', `The snapshot ${id} is currently in use by ${image.id}`);
}

export function dropSnapshot(cloud: Cloud, id: string): void {
  delete cloud.store.state.ec2.snapshots[id];
  cloud.store.save();
  dropFolder(snapshotFolder(cloud, id));
}

function progressOf(snapshot: VolumeSnapshotState): string {
  if (snapshot.state === 'completed') return '100%';
  const elapsed = Date.now() - Date.parse(snapshot.startedAt);
  // It may stay there for long (facts 3.5): 100 is only for one that is completed.
  return `${Math.max(0, Math.min(99, Math.floor((elapsed * 100) / Math.max(1, snapshot.takes))))}%`;
}

function snapshotView(cloud: Cloud, snapshot: VolumeSnapshotState): Snapshot {
  const { stateMessage, completedAt } = snapshot;
  return {
    SnapshotId: snapshot.id,
    VolumeId: snapshot.volumeId,
    VolumeSize: snapshot.size,
    State: snapshot.state,
    ...(stateMessage === undefined ? {} : { StateMessage: stateMessage }),
    Progress: progressOf(snapshot),
    StartTime: new Date(snapshot.startedAt),
    ...(completedAt === undefined ? {} : { CompletionTime: new Date(completedAt) }),
    OwnerId: cloud.account,
    Description: snapshot.description,
    Encrypted: snapshot.encrypted,
    StorageTier: 'standard',
    FullSnapshotSizeInBytes: snapshot.bytes,
    Tags: tagList(snapshot.tags),
  };
}
