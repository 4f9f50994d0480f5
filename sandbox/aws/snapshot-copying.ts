import type { CopySnapshotMessage, CopySnapshotResult } from '@aws-sdk/client-elasticache';
import { cpSync } from 'node:fs';
import { join } from 'node:path';
import type { Cloud } from './cloud.ts';
import { emit } from './events.ts';
import { AwsFault, invalidValue } from './faults.ts';
import { checkName } from './names.ts';
import { dropSnapshot } from './snapshot-taking.ts';
import { findSnapshot, requireAvailable } from './snapshots.ts';
import { snapshotView } from './snapshot-view.ts';
import type { SnapshotState } from './state.ts';
import { tagRecord } from './tag-rules.ts';

/** A copy within the account, or with TargetBucket an export: one object `<target>-<shard>.rdb` per shard. */
export async function copySnapshot(cloud: Cloud, input: CopySnapshotMessage): Promise<CopySnapshotResult> {
  const source = findSnapshot(cloud, input.SourceSnapshotName);
  requireAvailable(source);
  if (input.TargetBucket !== undefined) {
    return exportSnapshot(cloud, source, checkExportName(input.TargetSnapshotName), input.TargetBucket);
  }
  const target = checkName('TargetSnapshotName', input.TargetSnapshotName, 255);
  const { snapshots } = cloud.store.state;
  if (snapshots[target] !== undefined) {
    throw new AwsFault('SnapshotAlreadyExistsFault', `Snapshot ${target} already exists.`);
  }
  const copy: SnapshotState = {
    ...structuredClone(source),
    name: target,
    status: 'creating',
    source: 'manual',
    tags: tagRecord(input.Tags, source.tags),
    createdAt: new Date().toISOString(),
    nodes: source.nodes.map((node) => ({ ...node, file: join('snapshots', target, `${node.shard}.rdb`) })),
  };
  if (input.KmsKeyId !== undefined) copy.kmsKeyId = input.KmsKeyId;
  snapshots[target] = copy;
  source.status = 'copying';
  cloud.store.save();
  cloud.background.run(`copy snapshot ${source.name}`, `snapshot:${source.name}`, async () => {
    await cloud.background.sleep(cloud.timing.copying);
    cpSync(join(cloud.dir, 'snapshots', source.name), join(cloud.dir, 'snapshots', target), { recursive: true });
    source.status = 'available';
    copy.status = 'available';
    cloud.store.save();
  });
  return { Snapshot: snapshotView(cloud, copy, false) };
}

/** Of an export it is the beginning of an object's key: 1 to 1,000 characters. */
function checkExportName(name: string | undefined): string {
  if (name === undefined || name.length === 0 || name.length > 1_000 || name.includes(',')) {
    throw invalidValue('The parameter TargetSnapshotName must be 1 to 1000 characters long, without commas.');
  }
  return name;
}

async function exportSnapshot(
  cloud: Cloud,
  source: SnapshotState,
  target: string,
  bucket: string,
): Promise<CopySnapshotResult> {
  if (source.nodeType.includes('.r6gd.')) throw invalidValue('Snapshots of data tiering clusters cannot be exported.');
  const objects = source.nodes.map((node) => ({
    key: `${target}-${node.shard}.rdb`,
    path: join(cloud.dir, node.file),
  }));
  await cloud.buckets.checkExport(
    bucket,
    objects.map((object) => object.key),
  );
  // The checks took a while: somebody may have deleted or copied it meanwhile.
  requireAvailable(findSnapshot(cloud, source.name));
  source.status = 'copying';
  cloud.store.save();
  cloud.background.run(`export snapshot ${source.name}`, `snapshot:${source.name}`, async () => {
    try {
      await cloud.background.sleep(cloud.timing.copying);
      for (const { key, path } of objects) await cloud.buckets.put(bucket, key, path);
    } catch (error) {
      if (cloud.background.stopped) throw error;
      const why = error instanceof Error ? error.message : String(error);
      emit(
        cloud,
        'replication-group',
        source.groupId,
        `Export of snapshot '${source.name}' to ${bucket} failed: ${why}`,
      );
    }
    source.status = 'available';
    cloud.store.save();
  });
  return { Snapshot: snapshotView(cloud, { ...source, name: target }, false) };
}

/** What a restarted emulator makes of snapshots that it was working on: unfinished ones are gone, as on AWS. */
export function settleSnapshots(cloud: Cloud): void {
  for (const snapshot of Object.values(cloud.store.state.snapshots)) {
    if (snapshot.status === 'copying') snapshot.status = 'available';
    if (snapshot.status === 'available') continue;
    const failed = snapshot.status === 'creating';
    dropSnapshot(cloud, snapshot.name);
    if (!failed) continue;
    emit(
      cloud,
      'replication-group',
      snapshot.groupId,
      `ElastiCache:SnapshotFailed. Snapshot failed for snapshot with ID '${snapshot.name}' of replication group with ID '${snapshot.groupId}': the sandbox was restarted`,
    );
  }
}
