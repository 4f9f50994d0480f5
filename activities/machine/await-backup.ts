/** Waits until a backup is complete, and proves it: one completed snapshot for each volume. */
import type { Image, Snapshot } from '@aws-sdk/client-ec2';
import { ErrorType } from '../../spec/errors.ts';
import type { Progress } from '../../spec/status.ts';
import { NOT_YET_VISIBLE_MS } from '../aws/not-yet-visible.ts';
import { pollInterval } from '../aws/poll-interval.ts';
import { describeImage, findSnapshots, snapshotIdsOf } from '../ec2/images.ts';
import type { MachineFacts } from '../ec2/instance.ts';
import { imageState, snapshotState, type StateReading } from '../ec2/status-table.ts';
import { oursFilters, TAG, tagFilter, tagsOf, type Ours } from '../ec2/tags.ts';
import { waitedMs } from '../ec2/wait.ts';
import { permanent } from '../errors.ts';
import { waitUntil } from '../wait-until.ts';
import type { Taken } from './take-backup.ts';

export interface AwaitBackupArgs {
  ours: Ours;
  taken: Taken;
  /** As the machine was when it was taken. */
  machine: MachineFacts;
  timeoutMs: number;
}

/** Plain facts, for the report. */
export interface CompleteBackup {
  method: 'image' | 'snapshots';
  name: string;
  imageId?: string;
  snapshots: { id: string; volumeId: string; device: string; sizeGiB: number; bytes?: number }[];
  /** Of all volumes. */
  sizeGiB: number;
}

interface Reading {
  image?: Image | undefined;
  snapshots: Snapshot[];
}

/**
 * @throws cutover.ServiceFailed with AWS's reason where the image or a snapshot failed or is gone; cutover.Deadline;
 *   cutover.Denied, cutover.Throttled, cutover.Unreachable; CancelledFailure
 */
export async function awaitMachineBackup(args: AwaitBackupArgs): Promise<{ state: string }> {
  const { taken, timeoutMs } = args;
  const what = taken.imageId ?? taken.name;
  await waitUntil<Reading>({
    intervalMs: pollInterval(),
    read: async () => {
      const reading = await readBackup(args);
      requireNotFailed(taken, reading);
      if (!isComplete(args, reading) && waitedMs() > timeoutMs) {
        throw permanent(
          ErrorType.deadline,
          `${what} is not complete within ${Math.round(timeoutMs / 60_000)} min: ${shown(reading)}`,
          {
            remedy: 'large and much changed volumes take hours: retry the step to wait on; nothing is taken anew by it',
          },
        );
      }
      return reading;
    },
    done: (reading) => isComplete(args, reading),
    progress: (reading) => progressOf(what, reading),
  });
  return { state: taken.method === 'image' ? 'available' : 'completed' };
}

async function readBackup({ ours, taken }: AwaitBackupArgs): Promise<Reading> {
  const snapshots = await findSnapshots([...oursFilters(ours), tagFilter(TAG.name, taken.name)], ours.aws);
  if (taken.imageId === undefined) {
    return { snapshots: snapshots.filter((snapshot) => tagsOf(snapshot.Tags)[TAG.call] === taken.call) };
  }
  return { image: await describeImage(taken.imageId, ours.aws), snapshots };
}

function requireNotFailed(taken: Taken, { image, snapshots }: Reading): void {
  const id = taken.imageId;
  const failed = (what: string, reading: StateReading, state: string | undefined, reason: string | undefined) => {
    if (reading.meaning === 'pending' || reading.meaning === 'ok') return;
    throw permanent(ErrorType.serviceFailed, `${what} is ${state}${reason ? `: ${reason}` : ''}`, {
      remedy: 'retry the step: what failed is removed, and another one is taken; or abort',
    });
  };
  for (const { SnapshotId = '', State, StateMessage } of snapshots) {
    failed(`snapshot ${SnapshotId}`, snapshotState(SnapshotId, State), State, StateMessage);
  }
  if (image && id !== undefined) {
    const { Code, Message } = image.StateReason ?? {};
    failed(`image ${id}`, imageState(id, image.State), image.State, [Code, Message].filter(Boolean).join(' '));
  }
  const vanished = id === undefined ? snapshots.length === 0 : image === undefined;
  if (vanished && waitedMs() > NOT_YET_VISIBLE_MS) {
    throw permanent(
      ErrorType.serviceFailed,
      `${id ?? `the snapshots of ${taken.name}`}: AWS does not know it (any more)`,
      {
        remedy: 'was it deleted by somebody? Retry the step to take another one, or abort',
      },
    );
  }
}

function isComplete({ taken }: AwaitBackupArgs, { image, snapshots }: Reading): boolean {
  if (taken.imageId !== undefined) return imageState(taken.imageId, image?.State).meaning === 'ok';
  const wanted = taken.snapshotIds?.length ?? 0;
  return (
    snapshots.length >= wanted &&
    snapshots.every(({ SnapshotId = '', State }) => snapshotState(SnapshotId, State).meaning === 'ok')
  );
}

function progressOf(what: string, reading: Reading): Progress {
  const sizes = reading.snapshots.map(({ VolumeSize = 1, Progress: percent = '0%' }) => ({
    size: VolumeSize,
    percent: Number.parseFloat(percent) || 0,
  }));
  const total = sizes.reduce((all, { size }) => all + size, 0);
  const share = total === 0 ? 0 : sizes.reduce((all, { size, percent }) => all + size * percent, 0) / total;
  return { text: `${what}: ${shown(reading)}, ${Math.floor(share)} %`, done: Math.floor(share), total: 100 };
}

function shown({ image, snapshots }: Reading): string {
  const states = snapshots.map(({ SnapshotId, State, Progress: percent }) => `${SnapshotId} ${State} ${percent ?? ''}`);
  const id = image?.ImageId;
  const warnings = [
    id === undefined ? undefined : imageState(id, image?.State).warning,
    ...snapshots.map(({ SnapshotId = '', State }) => snapshotState(SnapshotId, State).warning),
  ].filter((text) => text !== undefined);
  return (
    [...(id === undefined ? [] : [`image ${image?.State}`]), ...states.map((text) => text.trim()), ...warnings].join(
      ', ',
    ) || 'not visible yet'
  );
}

/**
 * Reads the backup back: every volume that the machine had has one completed snapshot of its size.
 * @throws cutover.ServiceFailed naming what is missing
 */
export async function verifyMachineBackup(args: AwaitBackupArgs): Promise<CompleteBackup> {
  const { ours, taken, machine } = args;
  const { image, snapshots: tagged } = await readBackup(args);
  const snapshots = image ? tagged.filter(({ SnapshotId = '' }) => snapshotIdsOf(image).includes(SnapshotId)) : tagged;
  const problems: string[] = [];
  if (taken.imageId !== undefined && imageState(taken.imageId, image?.State).meaning !== 'ok') {
    problems.push(`image ${taken.imageId} is ${image?.State ?? 'gone'}`);
  }
  const found = machine.volumes.flatMap((volume) => {
    const own = snapshots.filter(({ VolumeId }) => VolumeId === volume.id);
    const [snapshot] = own;
    const state = snapshotState(snapshot?.SnapshotId ?? '', snapshot?.State);
    if (!snapshot?.SnapshotId) problems.push(`no snapshot of ${volume.id} (${volume.device})`);
    else if (own.length > 1) problems.push(`${own.length} snapshots of ${volume.id}`);
    else if (state.meaning !== 'ok') problems.push(`${snapshot.SnapshotId} of ${volume.id} is ${snapshot.State}`);
    else if (volume.sizeGiB !== undefined && (snapshot.VolumeSize ?? 0) < volume.sizeGiB) {
      problems.push(`${snapshot.SnapshotId} has ${snapshot.VolumeSize} GiB of ${volume.sizeGiB} GiB of ${volume.id}`);
    } else {
      const bytes = snapshot.FullSnapshotSizeInBytes;
      return [
        {
          id: snapshot.SnapshotId,
          volumeId: volume.id,
          device: volume.device,
          sizeGiB: snapshot.VolumeSize ?? 0,
          ...(bytes === undefined ? {} : { bytes }),
        },
      ];
    }
    return [];
  });
  if (problems.length > 0 || found.length === 0) {
    throw permanent(
      ErrorType.serviceFailed,
      `the backup ${taken.name} of ${machine.id} is not whole: ${problems.join('; ') || 'it has no snapshot'}`,
      {
        remedy: `abort removes it; look at it first: aws ec2 describe-snapshots --filters Name=tag:${TAG.run},Values=${ours.run}`,
      },
    );
  }
  return {
    method: taken.method,
    name: taken.name,
    ...(taken.imageId === undefined ? {} : { imageId: taken.imageId }),
    snapshots: found,
    sizeGiB: found.reduce((all, { sizeGiB }) => all + sizeGiB, 0),
  };
}
