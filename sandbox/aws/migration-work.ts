import { setStatus, stillThere } from './cloud.ts';
import type { Cloud } from './cloud.ts';
import { askCustomerNode } from './customer-node.ts';
import { emit } from './events.ts';
import type { CompleteMode } from './script.ts';
import { primaryOf } from './state.ts';
import type { GroupState, MigrationState } from './state.ts';

/** A link that has been receiving for this long, in milliseconds, is one; a refused one flickers for less than a poll. */
const STEADY_MS = 700;

/** Background work of TestMigration. The texts of its events are not documented (facts 3.1). */
export async function test(cloud: Cloud, group: GroupState, host: string, port: number): Promise<void> {
  await cloud.background.sleep(cloud.timing.testing);
  if (!stillThere(cloud, group)) return;
  let why: string | undefined;
  try {
    const { info } = await askCustomerNode(host, port);
    if (info['cluster_enabled'] === '1') why = 'the customer node has cluster mode enabled';
  } catch (error) {
    why = error instanceof Error ? error.message : String(error);
  }
  const where = `customer node ${host}:${port}`;
  emit(
    cloud,
    'replication-group',
    group.id,
    why === undefined
      ? `Test Migration succeeded for replication group ${group.id} with ${where}.`
      : `Test Migration failed for replication group ${group.id} with ${where}: ${why}.`,
  );
}

/** Background work of StartMigration: the primary really becomes a replica of the customer's node. */
export async function attach(cloud: Cloud, group: GroupState): Promise<void> {
  await cloud.background.sleep(cloud.timing.modifying);
  const { migration } = group;
  if (migration === undefined || !stillThere(cloud, group)) return;
  if (cloud.script.takeAttachRefusal()) return failMigration(cloud, group, 'could not attach to the customer node');
  let attached: boolean;
  try {
    await cloud.nodes.follow(primaryOf(group).id, migration.host, migration.port, false);
    attached = await linked(cloud, group, migration);
  } catch (error) {
    if (cloud.background.stopped) throw error;
    attached = false; // The node died: its data did not fit what the customer's node sent, or somebody killed it.
  }
  if (!attached) return failMigration(cloud, group, 'could not attach to the customer node');
  migration.phase = 'migrating';
  setStatus(cloud, group, 'migrating');
}

/**
 * Whether the customer's node has accepted the primary as its replica. A password there, or protected mode, makes
 * replication flicker between connecting and an aborted sync: so a running sync counts only if it lasts. A source that
 * waits for more replicas before a diskless sync (5 s by default) says nothing to ours, but shows it in its INFO.
 */
async function linked(cloud: Cloud, group: GroupState, migration: MigrationState): Promise<boolean> {
  let syncingSince: number | undefined;
  const { id, port } = primaryOf(group);
  const found = await cloud.background.until(
    cloud.timing.attach,
    async () => {
      const info = await cloud.nodes.info(id, 'replication');
      if (info['master_link_status'] === 'up') return true;
      if (info['master_sync_in_progress'] !== '1') syncingSince = undefined;
      else syncingSince ??= Date.now();
      if (syncingSince !== undefined && Date.now() - syncingSince >= STEADY_MS) return true;
      return (await knowsReplica(migration, port)) ? true : undefined;
    },
    100,
  );
  return found ?? false;
}

async function knowsReplica(migration: MigrationState, port: number): Promise<boolean> {
  try {
    const { info } = await askCustomerNode(migration.host, migration.port);
    return Object.entries(info).some(([field, value]) => /^slave\d+$/.test(field) && value.includes(`,port=${port},`));
  } catch {
    return false;
  }
}

/** The primary promotes itself back, the group is available again, and only an event tells (facts 3.1). */
export async function failMigration(cloud: Cloud, group: GroupState, why: string): Promise<void> {
  delete group.migration;
  cloud.store.save();
  const { id } = primaryOf(group);
  // Without a node to promote its replacement starts as a primary, because the migration is gone from the state.
  await promoteOrDead(cloud, id);
  emit(
    cloud,
    'replication-group',
    group.id,
    `Migration operation failed for replication group ${group.id}. Reason: ${why}.`,
  );
  setStatus(cloud, group, 'available');
}

/**
 * Background work of CompleteMigration.
 * @param replaced the node that was being replaced when the call came.
 */
export async function complete(
  cloud: Cloud,
  group: GroupState,
  mode: CompleteMode | undefined,
  replaced: string | undefined,
): Promise<void> {
  await cloud.background.sleep(cloud.timing.completing);
  const { migration } = group;
  if (migration === undefined || !stillThere(cloud, group)) return;
  const why = mode === 'ignored' ? '' : await obstacle(cloud, group, migration, mode, replaced);
  if (why !== undefined) {
    migration.phase = 'migrating';
    if (why === '') cloud.store.save();
    else notCompleted(cloud, group, why);
    return;
  }
  // On disk first: an emulator that is killed here must not come back as the customer's replica and drop later writes.
  migration.phase = 'promoted';
  cloud.store.save();
  if (!(await promoteOrDead(cloud, primaryOf(group).id))) {
    migration.phase = 'migrating';
    notCompleted(cloud, group, `cache cluster ${primaryOf(group).id} failed`);
  } else if (mode !== 'stuck') {
    finish(cloud, group);
  }
}

/** Promotes a node, as often as it takes: a node that hangs is promoted when it goes on. @returns false if it died. */
async function promoteOrDead(cloud: Cloud, id: string): Promise<boolean> {
  while (cloud.nodes.runs(id)) {
    try {
      await cloud.nodes.promote(id);
      return true;
    } catch {
      await cloud.background.sleep(100);
    }
  }
  return false;
}

/** It stays migrating; the event is all that tells. */
function notCompleted(cloud: Cloud, group: GroupState, why: string): void {
  cloud.store.save();
  const text = `Migration operation failed for replication group ${group.id}. Reason: ${why}.`;
  emit(cloud, 'replication-group', group.id, text);
}

/** The last step of a migration: also taken by an emulator that was restarted after the promotion. */
export function finish(cloud: Cloud, group: GroupState): void {
  const force = group.migration?.force === true;
  delete group.migration;
  setStatus(cloud, group, 'available');
  const text = force
    ? `Migration stopped for replication group ${group.id}.`
    : `Complete Migration successful for ${group.id}`;
  emit(cloud, 'replication-group', group.id, text);
}

async function obstacle(
  cloud: Cloud,
  group: GroupState,
  migration: MigrationState,
  mode: CompleteMode | undefined,
  replaced: string | undefined,
): Promise<string | undefined> {
  if (mode === 'fail') return 'the data is not in sync with the customer node';
  if (replaced !== undefined) return `cache cluster ${replaced} was being replaced`;
  if (!cloud.nodes.runs(primaryOf(group).id)) return `cache cluster ${primaryOf(group).id} is not running`;
  if (migration.force) return undefined;
  try {
    return (await inSync(cloud, group, migration)) ? undefined : 'the data is not in sync with the customer node';
  } catch (error) {
    if (cloud.background.stopped) throw error;
    return `the data is not in sync with the customer node (${error instanceof Error ? error.message : String(error)})`;
  }
}

/**
 * In sync: the link is up, both sides are in the same replication history, and the primary has reached the offset that the
 * customer's node had when it was asked. Offsets mean nothing while a full sync runs (facts 4.2 b).
 */
async function inSync(cloud: Cloud, group: GroupState, migration: MigrationState): Promise<boolean> {
  const { info: source } = await askCustomerNode(migration.host, migration.port);
  const wanted = BigInt(source['master_repl_offset'] ?? '0');
  const found = await cloud.background.until(cloud.timing.completeCheck, async () => {
    const info = await cloud.nodes.info(primaryOf(group).id, 'replication');
    const same =
      info['master_link_status'] === 'up' &&
      info['master_sync_in_progress'] === '0' &&
      info['master_replid'] === source['master_replid'] &&
      BigInt(info['slave_repl_offset'] ?? '0') >= wanted;
    return same ? true : undefined;
  });
  return found ?? false;
}
