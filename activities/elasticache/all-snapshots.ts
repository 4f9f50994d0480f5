/** Every snapshot of the account in the region, page by page. */
import { paginateDescribeSnapshots, type Snapshot } from '@aws-sdk/client-elasticache';
import pLimit from 'p-limit';
import { elasticache, type AwsTarget } from '../aws/clients.ts';
import { awsFailure } from '../aws/failure.ts';
import { firstPages } from '../aws/first-pages.ts';
import { snapshotFacts, type SnapshotFacts } from './snapshot-facts.ts';
import { readTags } from './tags.ts';

/** AWS gives 50 a page at most. More pages than this mean a marker that goes in circles. */
const MOST_PAGES = 2_000;

export interface TaggedSnapshot extends SnapshotFacts {
  /** Missing where AWS would not tell: it does so only in some states. */
  tags?: Record<string, string>;
}

/**
 * @param args.source `system`: automatic ones; `user`: manual ones; both by default
 * @param args.group only those of this replication group, which may be gone
 * @throws cutover.Denied, cutover.Throttled, cutover.Unreachable
 */
export async function allSnapshots(args: {
  source?: 'system' | 'user';
  group?: string | undefined;
  aws?: AwsTarget;
}): Promise<SnapshotFacts[]> {
  const { source, group, aws = {} } = args;
  const found: Snapshot[] = [];
  const query = { ShowNodeGroupConfig: true, MaxRecords: 50, ...(source ? { SnapshotSource: source } : {}) };
  try {
    const pages = paginateDescribeSnapshots({ client: elasticache(aws) }, query);
    for await (const { Snapshots = [] } of firstPages(pages, MOST_PAGES)) found.push(...Snapshots);
  } catch (error) {
    throw awsFailure(error, 'DescribeSnapshots');
  }
  // Not by AWS's own filter: one of a single node need not be listed under its group.
  return found.map(snapshotFacts).filter((facts) => group === undefined || facts.replicationGroup === group);
}

/** The same with their tags: one more call for each. @throws as allSnapshots */
export async function taggedSnapshots(args: Parameters<typeof allSnapshots>[0]): Promise<TaggedSnapshot[]> {
  const limit = pLimit(4);
  const snapshots = await allSnapshots(args);
  return Promise.all(
    snapshots.map((facts) =>
      limit(async (): Promise<TaggedSnapshot> => {
        // Automatic ones are AWS's own, and one may be gone between the two calls.
        const tags = facts.automatic ? {} : await tagsOf(args.aws ?? {}, facts.arn);
        return tags === undefined ? facts : { ...facts, tags };
      }),
    ),
  );
}

async function tagsOf(aws: AwsTarget, arn: string): Promise<Record<string, string> | undefined> {
  try {
    return await readTags(aws, arn);
  } catch (error) {
    if (error instanceof Error && /SnapshotNotFound/.test(error.message)) return undefined;
    throw error;
  }
}
