import type { CreateReplicationGroupMessage } from '@aws-sdk/client-elasticache';
import { copyFileSync, existsSync, mkdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Cloud } from './cloud.ts';
import { invalidCombination, invalidValue } from './faults.ts';
import { findSnapshot, requireAvailable } from './snapshots.ts';
import type { GroupState } from './state.ts';

/**
 * The RDB of each shard of a group that is created from a snapshot of ours, or from objects in the customer's bucket.
 * @returns paths by shard, empty without either.
 */
export async function seedsOf(
  cloud: Cloud,
  input: CreateReplicationGroupMessage,
  group: GroupState,
): Promise<Record<string, string>> {
  if (input.SnapshotName !== undefined && input.SnapshotArns !== undefined) {
    throw invalidCombination('SnapshotName and SnapshotArns cannot be used together.');
  }
  if (input.SnapshotName !== undefined) return fromSnapshot(cloud, input.SnapshotName, group);
  if (input.SnapshotArns !== undefined) return fromBucket(cloud, input.SnapshotArns, group);
  return {};
}

function fromSnapshot(cloud: Cloud, name: string, group: GroupState): Record<string, string> {
  const snapshot = findSnapshot(cloud, name);
  requireAvailable(snapshot);
  requireSameShape(
    group,
    snapshot.nodes.map((node) => node.slots),
  );
  const seeds: Record<string, string> = {};
  for (const node of snapshot.nodes) {
    // A copy: the snapshot may be deleted before the nodes have started.
    const path = seedPath(cloud, group, node.shard);
    copyFileSync(join(cloud.dir, node.file), path);
    seeds[node.shard] = path;
  }
  return seeds;
}

function seedPath(cloud: Cloud, group: GroupState, shard: string): string {
  const path = join(cloud.dir, 'seeds', `${group.folder.replaceAll('/', '-')}-${shard}.rdb`);
  mkdirSync(dirname(path), { recursive: true });
  return path;
}

/** The seeds of a group whose creation an earlier run of the emulator did not finish. */
export function seedsOnDisk(cloud: Cloud, group: GroupState): Record<string, string> {
  const found = group.shards.map(({ id }): [string, string] => [id, seedPath(cloud, group, id)]);
  return Object.fromEntries(found.filter(([, path]) => existsSync(path)));
}

/** The nodes have their data by now, or never will. */
export function dropSeeds(cloud: Cloud, group: GroupState): void {
  for (const { id } of group.shards) rmSync(seedPath(cloud, group, id), { force: true });
}

async function fromBucket(cloud: Cloud, arns: string[], group: GroupState): Promise<Record<string, string>> {
  const seeds: Record<string, string> = {};
  if (arns.length !== group.shards.length) {
    throw invalidValue(
      `The sandbox restores one object per shard: ${group.shards.length} shards, ${arns.length} SnapshotArns.`,
    );
  }
  for (const [i, arn] of arns.entries()) {
    const found = /^arn:aws[a-z-]*:s3:::([^/]+)\/([^,]+)$/.exec(arn);
    const shard = group.shards[i]?.id;
    if (found === null || shard === undefined) {
      throw invalidValue(`Invalid S3 snapshot ARN: ${arn}. It must be arn:aws:s3:::bucket/key without commas.`);
    }
    const path = seedPath(cloud, group, shard);
    await cloud.buckets.fetch(found[1] ?? '', found[2] ?? '', path);
    seeds[shard] = path;
  }
  return seeds;
}

/** Real ElastiCache moves keys to where they belong; the sandbox only takes each shard's file as it is. */
function requireSameShape(group: GroupState, slots: (string | undefined)[]): void {
  const wanted = group.shards.map((shard) => shard.slots);
  if (wanted.length === slots.length && wanted.every((range, i) => range === slots[i])) return;
  if (!group.clusterEnabled && slots[0] !== undefined) {
    throw invalidCombination('A snapshot of cluster mode enabled cannot be restored with cluster mode disabled.');
  }
  throw invalidCombination(
    `The sandbox restores a snapshot only to the same shards: it has ${JSON.stringify(slots)}, the group ${JSON.stringify(wanted)}.`,
  );
}
