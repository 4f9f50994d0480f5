import type { CreateReplicationGroupMessage } from '@aws-sdk/client-elasticache';
import { copyFileSync, existsSync, mkdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Cloud } from './cloud.ts';
import { invalidCombination, invalidValue } from './faults.ts';
import { whyUnreadable } from './rdb-version.ts';
import { findSnapshot, requireAvailable } from './snapshots.ts';
import type { GroupState } from './state.ts';

/** Under this name, with a number, are files whose keys have to be moved to the shards that they belong to. */
const SPREAD = 'spread-';
/** More than AWS has shards. */
const MOST_FILES = 500;

/** The files among the seeds whose keys are to be spread over the shards. */
export function seedsToSpread(seeds: Readonly<Record<string, string>>): string[] {
  return Object.entries(seeds).flatMap(([name, path]) => (name.startsWith(SPREAD) ? [path] : []));
}

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
  const same = hasSameShape(
    group,
    snapshot.nodes.map((node) => node.slots),
  );
  const seeds: Record<string, string> = {};
  for (const [i, node] of snapshot.nodes.entries()) {
    // A copy: the snapshot may be deleted before the nodes have started.
    const name = same ? node.shard : `${SPREAD}${i + 1}`;
    const path = seedPath(cloud, group, name);
    copyFileSync(join(cloud.dir, node.file), path);
    seeds[name] = path;
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
  const found = seedNames(group).map((name): [string, string] => [name, seedPath(cloud, group, name)]);
  return Object.fromEntries(found.filter(([, path]) => existsSync(path)));
}

/** The nodes have their data by now, or never will. */
export function dropSeeds(cloud: Cloud, group: GroupState): void {
  for (const name of seedNames(group)) rmSync(seedPath(cloud, group, name), { force: true });
}

function seedNames(group: GroupState): string[] {
  return [...group.shards.map(({ id }) => id), ...Array.from({ length: MOST_FILES }, (_, i) => `${SPREAD}${i + 1}`)];
}

async function fromBucket(cloud: Cloud, arns: string[], group: GroupState): Promise<Record<string, string>> {
  const seeds: Record<string, string> = {};
  if (!group.clusterEnabled && arns.length !== 1) {
    throw invalidCombination('Only one snapshot ARN can be given with cluster mode disabled.');
  }
  for (const [i, arn] of arns.entries()) {
    const found = /^arn:aws[a-z-]*:s3:::([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])\/([^,]+)$/.exec(arn);
    // An RDB does not tell its slots: its keys go where they belong, however many files and shards there are.
    const shard = group.clusterEnabled ? `${SPREAD}${i + 1}` : group.shards[0]?.id;
    if (found === null || shard === undefined) {
      throw invalidValue(`Invalid S3 snapshot ARN: ${arn}. It must be arn:aws:s3:::bucket/key without commas.`);
    }
    const path = seedPath(cloud, group, shard);
    await cloud.buckets.fetch(found[1] ?? '', found[2] ?? '', path);
    seeds[shard] = path;
    // AWS looks into a file only once the nodes load it: the call is taken.
    const unreadable = await whyUnreadable(path, group.engine, group.engineVersion);
    if (unreadable !== undefined) group.unreadable = unreadable;
  }
  return seeds;
}

/** @throws AwsFault for a snapshot of cluster mode enabled that is to become a group without. */
function hasSameShape(group: GroupState, slots: (string | undefined)[]): boolean {
  if (!group.clusterEnabled && slots[0] !== undefined) {
    throw invalidCombination('A snapshot of cluster mode enabled cannot be restored with cluster mode disabled.');
  }
  const wanted = group.shards.map((shard) => shard.slots);
  return wanted.length === slots.length && wanted.every((range, i) => range === slots[i]);
}
