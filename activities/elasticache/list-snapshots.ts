/** ElastiCache's snapshots, manual and automatic, for the catalogue. */
import type { CatalogueEntry, ListBackupsInput } from '../../spec/catalogue.ts';
import { taggedSnapshots, type TaggedSnapshot } from './all-snapshots.ts';
import { MIGRATION_TAG, RUN_TAG } from './tags.ts';

/**
 * @param input.source a replication group, which may be gone
 * @throws cutover.Denied, cutover.Throttled, cutover.Unreachable
 */
export async function listElastiCacheSnapshots(input: ListBackupsInput): Promise<CatalogueEntry[]> {
  const { source, aws = {} } = input;
  return (await taggedSnapshots({ group: source?.toLowerCase(), aws })).map(entryOf);
}

function entryOf(snapshot: TaggedSnapshot): CatalogueEntry {
  const { name, status, complete, problem, automatic, createdAt, sizeBytes, tags } = snapshot;
  const migration = tags?.[MIGRATION_TAG];
  const run = tags?.[RUN_TAG];
  return {
    system: 'elasticache',
    type: 'snapshot',
    id: name,
    name,
    source: snapshot.replicationGroup ?? '',
    ...(createdAt === undefined ? {} : { createdAt, asOf: createdAt }),
    ...(sizeBytes === undefined ? {} : { sizeBytes }),
    state: status,
    complete,
    ...(problem === undefined ? {} : { problem }),
    automatic,
    ...(migration === undefined ? {} : { madeBy: { migration, ...(run === undefined ? {} : { run }) } }),
  };
}
