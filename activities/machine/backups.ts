/** Backups of machines as AWS has them: images with their snapshots, and sets of snapshots. */
import type { Filter, Image, Snapshot } from '@aws-sdk/client-ec2';
import type { AwsTarget } from '../aws/clients.ts';
import { findImages, findSnapshots, snapshotIdsOf } from '../ec2/images.ts';
import { imageState, snapshotState } from '../ec2/status-table.ts';
import { TAG, tagsOf } from '../ec2/tags.ts';

/** As many as a filter of EC2's takes. */
const FILTER_VALUES = 200;

export interface FoundBackup {
  type: 'image' | 'volume-snapshots';
  /** The image's, or the set's name and call. */
  id: string;
  name: string;
  /** The instance, where it is known. */
  instance?: string;
  migration?: string;
  run?: string;
  /** ISO. */
  createdAt?: string;
  /** AWS's word. */
  state: string;
  complete: boolean;
  pending: boolean;
  problem?: string;
  sizeGiB: number;
  imageId?: string;
  snapshotIds: string[];
  consistency?: string;
  /** It was being deleted. */
  retired: boolean;
  tags: Record<string, string>;
}

/**
 * Every image of this account, and every set of snapshots that cutover took, that match. Changes nothing.
 * @throws cutover.Denied, cutover.Throttled, cutover.Unreachable
 */
export async function findBackups(filters: Filter[], aws: AwsTarget = {}): Promise<FoundBackup[]> {
  const images = await findImages(filters, aws);
  const snapshots = await findSnapshots(filters, aws);
  const sets = new Map<string, Snapshot[]>();
  for (const snapshot of snapshots) {
    const { [TAG.method]: method, [TAG.call]: call = '' } = tagsOf(snapshot.Tags);
    if (method === 'snapshots') sets.set(call, [...(sets.get(call) ?? []), snapshot]);
  }
  return [...(await withSnapshots(images, snapshots, aws)), ...[...sets.values()].map(setBackup)];
}

/** One image of this account; undefined where there is none. @throws as findBackups */
export async function findImageBackup(imageId: string, aws: AwsTarget = {}): Promise<FoundBackup | undefined> {
  const images = await findImages([{ Name: 'image-id', Values: [imageId] }], aws);
  const [backup] = await withSnapshots(images, [], aws);
  return backup;
}

async function withSnapshots(images: Image[], snapshots: Snapshot[], aws: AwsTarget): Promise<FoundBackup[]> {
  // Snapshots that somebody made of an image have no tags of ours, so a filter by tags does not find them.
  const known = new Map(snapshots.map((snapshot) => [snapshot.SnapshotId ?? '', snapshot]));
  const missing = [...new Set(images.flatMap(snapshotIdsOf))].filter((id) => !known.has(id));
  for (let from = 0; from < missing.length; from += FILTER_VALUES) {
    const Values = missing.slice(from, from + FILTER_VALUES);
    for (const snapshot of await findSnapshots([{ Name: 'snapshot-id', Values }], aws)) {
      known.set(snapshot.SnapshotId ?? '', snapshot);
    }
  }
  return images.map((image) => imageBackup(image, known));
}

function imageBackup(image: Image, known: Map<string, Snapshot>): FoundBackup {
  const tags = tagsOf(image.Tags);
  const snapshotIds = snapshotIdsOf(image);
  const parts = snapshotIds.map((id) => ({ id, snapshot: known.get(id) }));
  const wanted = Number(tags[TAG.volumes] ?? parts.length);
  const meaning = imageState(image.ImageId ?? '', image.State).meaning;
  const problem =
    meaning !== 'ok'
      ? `image is ${image.State}${image.StateReason?.Message ? `: ${image.StateReason.Message}` : ''}`
      : problemOf(parts, wanted);
  return {
    type: 'image',
    id: image.ImageId ?? '',
    name: image.Name ?? '',
    imageId: image.ImageId ?? '',
    snapshotIds,
    state: image.State ?? '',
    complete: problem === undefined,
    // A snapshot that recovers, or whose state we do not know, may be whole tomorrow: it is no reason to delete the image.
    pending:
      meaning === 'pending' ||
      // Disabled: somebody did that, and can undo it.
      meaning === 'ask' ||
      parts.some(
        ({ id, snapshot }) => snapshot !== undefined && snapshotState(id, snapshot.State).meaning === 'pending',
      ),
    sizeGiB: (image.BlockDeviceMappings ?? []).reduce((all, { Ebs }) => all + (Ebs?.VolumeSize ?? 0), 0),
    ...(problem === undefined ? {} : { problem }),
    ...(image.CreationDate ? { createdAt: image.CreationDate } : {}),
    ...shared(tags),
    ...(tags[TAG.instance] === undefined && image.SourceInstanceId ? { instance: image.SourceInstanceId } : {}),
  };
}

function setBackup(set: Snapshot[]): FoundBackup {
  const tags = tagsOf(set[0]?.Tags);
  const parts = set.map((snapshot) => ({ id: snapshot.SnapshotId ?? '', snapshot }));
  const problem = problemOf(parts, Number(tags[TAG.volumes] ?? parts.length));
  const states = [...new Set(set.map(({ State }) => State ?? ''))];
  const started = set.map(({ StartTime }) => StartTime?.toISOString() ?? '').sort()[0];
  return {
    type: 'volume-snapshots',
    id: `${tags[TAG.name] ?? ''}/${tags[TAG.call] ?? ''}`,
    name: tags[TAG.name] ?? '',
    snapshotIds: parts.map(({ id }) => id),
    state: states.join(', '),
    complete: problem === undefined,
    pending: parts.some(({ id, snapshot }) => snapshotState(id, snapshot.State).meaning === 'pending'),
    sizeGiB: set.reduce((all, { VolumeSize = 0 }) => all + VolumeSize, 0),
    ...(problem === undefined ? {} : { problem }),
    ...(started ? { createdAt: started } : {}),
    ...shared(tags),
  };
}

function problemOf(parts: { id: string; snapshot: Snapshot | undefined }[], wanted: number): string | undefined {
  const broken = parts.find(({ id, snapshot }) => snapshotState(id, snapshot?.State).meaning !== 'ok');
  if (broken) return `snapshot ${broken.id} is ${broken.snapshot?.State ?? 'gone'}`;
  if (parts.length < wanted) return `snapshots of ${parts.length} of ${wanted} volumes`;
  return parts.length === 0 ? 'no snapshot' : undefined;
}

function shared(tags: Record<string, string>) {
  const optional = {
    instance: tags[TAG.instance],
    migration: tags[TAG.migration],
    run: tags[TAG.run],
    consistency: tags[TAG.consistency],
  };
  return {
    ...Object.fromEntries(Object.entries(optional).filter(([, value]) => value !== undefined)),
    retired: tags[TAG.retired] !== undefined,
    tags,
  };
}
