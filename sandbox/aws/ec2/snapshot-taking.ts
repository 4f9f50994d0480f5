import type { Cloud } from '../cloud.ts';
import { newId } from './find.ts';
import { copyFolder, snapshotFolder, volumeFolder } from './folders.ts';
import { machinesOf } from './machines.ts';
import { waitOut } from './pending.ts';
import { scriptOf } from './script.ts';
import type { VolumeSnapshotState, VolumeState } from './state.ts';

/** Takes a snapshot down as `pending`; `copyNow` fixes its point in time. */
export function addSnapshot(
  cloud: Cloud,
  volume: VolumeState,
  {
    description,
    tags,
    takes = cloud.timing.snapshotPending,
  }: { description: string; tags: Record<string, string>; takes?: number },
): VolumeSnapshotState {
  const fails = scriptOf(cloud).snapshotFailures.shift();
  const snapshot: VolumeSnapshotState = {
    id: newId('snap'),
    volumeId: volume.id,
    size: volume.size,
    state: 'pending',
    description,
    startedAt: new Date().toISOString(),
    takes,
    ...(fails === undefined ? {} : { fails }),
    bytes: 0,
    copied: false,
    encrypted: volume.encrypted,
    ...(volume.mount === undefined ? {} : { mount: volume.mount }),
    tags,
  };
  cloud.store.state.ec2.snapshots[snapshot.id] = snapshot;
  cloud.store.save();
  return snapshot;
}

/**
 * Copies the volumes now, all of them at one moment: as on AWS the point in time is that of the call, however long the
 * snapshots stay pending after it. What a machine's programs hold in memory only is not in them.
 */
export async function copyNow(
  cloud: Cloud,
  instanceId: string | undefined,
  snapshots: readonly VolumeSnapshotState[],
): Promise<void> {
  const copyAll = async (): Promise<void> => {
    for (const snapshot of snapshots) {
      try {
        snapshot.bytes = await copyFolder(volumeFolder(cloud, snapshot.volumeId), snapshotFolder(cloud, snapshot.id));
        snapshot.copied = true;
      } catch (error) {
        snapshot.fails ??= error instanceof Error ? error.message : String(error);
      }
    }
  };
  await (instanceId === undefined ? copyAll() : machinesOf(cloud).frozen(instanceId, copyAll));
  cloud.store.save();
  for (const snapshot of snapshots) settleSnapshot(cloud, snapshot);
}

/** `pending` to `completed` or `error` when its time has come. */
export function settleSnapshot(cloud: Cloud, snapshot: VolumeSnapshotState): void {
  cloud.background.run(`snapshot ${snapshot.id}`, `ec2:${snapshot.id}`, async () => {
    await waitOut(cloud, snapshot.startedAt, snapshot.takes, 'snapshotPending');
    if (snapshot.fails === undefined && snapshot.copied) {
      snapshot.state = 'completed';
      snapshot.completedAt = new Date().toISOString();
    } else {
      snapshot.state = 'error';
      snapshot.stateMessage = snapshot.fails ?? 'The copy was not taken.';
    }
    cloud.store.save();
  });
}
