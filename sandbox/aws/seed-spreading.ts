import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { freePort } from '../runtime/ports.ts';
import { memoryOf } from './catalogue.ts';
import type { Cloud } from './cloud.ts';
import { directivesOf } from './parameters.ts';
import { primaryOf } from './state.ts';
import type { GroupState } from './state.ts';

const BATCH = '500';

/**
 * Moves the keys of RDB files to the shards of a running group that they belong to: what ElastiCache does where a group
 * is restored with other shards than its snapshot has. Each file is loaded by a server of its own, and read from there.
 * @throws Error where a file has keys in more than one database, as a restore to cluster mode then fails (facts 3.3)
 */
export async function spreadSeeds(cloud: Cloud, group: GroupState, files: readonly string[]): Promise<void> {
  for (const [index, seed] of files.entries()) {
    const id = `${group.id}-seed-${index + 1}`;
    const dir = join(cloud.dir, group.folder, `seed-${index + 1}`);
    // More than one database has to be loaded to be seen.
    const directives = { ...directivesOf(cloud.store.state, group), databases: '16' };
    const maxMemoryBytes = memoryOf(group.nodeType) * 16;
    const port = await freePort();
    await cloud.nodes.start({ id, dir, port, engine: group.engine, maxMemoryBytes, directives, empty: true, seed });
    try {
      await spread(cloud, group, id);
    } finally {
      await cloud.nodes.kill(id, true);
      rmSync(dir, { recursive: true, force: true });
    }
  }
}

async function spread(cloud: Cloud, group: GroupState, from: string): Promise<void> {
  const databases = Object.keys(await cloud.nodes.info(from, 'keyspace')).filter((name) => name.startsWith('db'));
  if (databases.some((name) => name !== 'db0')) {
    throw new Error(`the data is in several databases (${databases.join(', ')}); cluster mode has one`);
  }
  const owners = slotOwners(group);
  let cursor = '0';
  do {
    const page = (await cloud.nodes.raw(from, 'scan', cursor, 'COUNT', BATCH)) as [Buffer, Buffer[]];
    cursor = page[0].toString();
    for (const key of page[1]) await move(cloud, from, owners, key);
  } while (cursor !== '0');
}

async function move(cloud: Cloud, from: string, owners: readonly string[], key: Buffer): Promise<void> {
  const dump = (await cloud.nodes.raw(from, 'dump', key)) as Buffer | null;
  const expiresAt = Number(await cloud.nodes.raw(from, 'pexpiretime', key));
  // Expired since it was loaded.
  if (dump === null || expiresAt === -2) return;
  const anyone = owners[0] ?? '';
  const owner = owners[Number(await cloud.nodes.raw(anyone, 'cluster', 'KEYSLOT', key))] ?? anyone;
  const ttl = expiresAt === -1 ? ['0'] : [String(expiresAt), 'ABSTTL'];
  await cloud.nodes.raw(owner, 'restore', key, ttl[0] ?? '0', dump, 'REPLACE', ...ttl.slice(1));
}

/** The primary of each slot. */
function slotOwners(group: GroupState): string[] {
  const owners: string[] = [];
  for (const { id, slots = '' } of group.shards) {
    for (const [, low, high = low] of slots.matchAll(/(\d+)(?:-(\d+))?/g)) {
      owners.length = Math.max(owners.length, Number(high) + 1);
      owners.fill(primaryOf(group, id).id, Number(low), Number(high) + 1);
    }
  }
  return owners;
}
