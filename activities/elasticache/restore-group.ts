/** CreateReplicationGroup from a snapshot, to its proven end: every node available, or the reason that AWS gives. */
import { CreateReplicationGroupCommand, type CreateReplicationGroupCommandInput } from '@aws-sdk/client-elasticache';
import type { ElastiCacheRestore } from '../../spec/kind-elasticache-restore.ts';
import { ErrorType } from '../../spec/errors.ts';
import { elasticache } from '../aws/clients.ts';
import { awsFailure, isCode } from '../aws/failure.ts';
import { keep, kept } from '../aws/kept.ts';
import { pollInterval } from '../aws/poll-interval.ts';
import { permanent, transient } from '../errors.ts';
import { resolveSecret } from '../secrets/resolve.ts';
import { waitUntil } from '../wait-until.ts';
import { eventsSince, type Watermark } from './events.ts';
import { brokenNodes, findMade, ownerMark, type MadeGroup } from './made-group.ts';
import type { Address, GroupFacts } from './replication-group.ts';
import { createInput, sourceText } from './restore-shape.ts';
import { restoreSource } from './restore-source.ts';
import { migrationTags } from './tags.ts';

export interface RestorePlan {
  /** Of the snapshot, or the files. */
  from: string;
  /** When the data is of, ISO; absent for files. */
  asOf?: string;
  sourceGroup?: string;
  /** Without the auth token and tags. */
  create: CreateReplicationGroupCommandInput;
  shape: AskedShape;
}

/** How many of each the group has to have: fewer that are all in order are no restored group. */
export interface AskedShape {
  shards: number;
  nodes: number;
}

function askedShape({ NumCacheClusters, NodeGroupConfiguration }: CreateReplicationGroupCommandInput): AskedShape {
  if (!NodeGroupConfiguration) return { shards: 1, nodes: NumCacheClusters ?? 1 };
  const nodes = NodeGroupConfiguration.reduce((sum, { ReplicaCount = 0 }) => sum + 1 + ReplicaCount, 0);
  return { shards: NodeGroupConfiguration.length, nodes };
}

/** Which snapshot, and the call in full. @throws as restoreSource */
export async function planGroupRestore(args: { migration: ElastiCacheRestore; target: string }): Promise<RestorePlan> {
  const source = await restoreSource(args.migration);
  const { createdAt, replicationGroup } = 'snapshot' in source ? source.snapshot : {};
  const create = createInput(args.migration, source, args.target);
  return {
    from: sourceText(source),
    ...(createdAt === undefined ? {} : { asOf: createdAt }),
    ...(replicationGroup === undefined ? {} : { sourceGroup: replicationGroup }),
    create,
    shape: askedShape(create),
  };
}

/**
 * Makes the group, or adopts the one that an earlier attempt made. It is not waited for.
 * @throws cutover.NotOurs (the name is taken), cutover.Invalid with AWS's words, cutover.Secret, cutover.Busy (the
 *   snapshot is in use), cutover.Denied, cutover.Throttled, cutover.Unreachable
 */
export async function createRestored(
  args: MadeGroup & { migration: ElastiCacheRestore; plan: RestorePlan },
): Promise<{ answer: 'created' | 'adopted' }> {
  const { migration, plan, aws = {} } = args;
  if (await findMade(args)) return { answer: 'adopted' };
  const { authToken, tags } = migration.to;
  const description = plan.create.ReplicationGroupDescription ?? '';
  try {
    await elasticache(aws).send(
      new CreateReplicationGroupCommand({
        ...plan.create,
        ReplicationGroupDescription: `${description} ${ownerMark(args)}`,
        ...(authToken ? { AuthToken: await resolveSecret(authToken, aws) } : {}),
        Tags: [
          ...Object.entries(tags).map(([Key, Value]) => ({ Key, Value })),
          ...migrationTags(args.migrationId, args.run),
        ],
      }),
    );
    return { answer: 'created' };
  } catch (error) {
    if (isCode(error, 'ReplicationGroupAlreadyExists')) {
      if (await findMade(args)) return { answer: 'adopted' };
      throw transient(ErrorType.busy, `CreateReplicationGroup ${args.id}: AWS says it exists, and that it does not`, {
        afterMs: 5_000,
        benign: true,
      });
    }
    throw awsFailure(error, `CreateReplicationGroup ${args.id} from ${plan.from}`);
  }
}

export interface Restored {
  id: string;
  primary: Address;
  nodes: number;
}

/** A failure's event comes behind the status that it explains; so many more readings are waited for it. */
const EVENT_READINGS = 3;
const REASON = /fail|unable|insufficient|not enough|too (large|big|small)|does not fit|invalid|incompatible/i;

/**
 * Ends where the group and each of its nodes are available.
 * @param args.since from eventWatermark, taken before the call
 * @throws cutover.ServiceFailed with the events' text (create-failed, restore-failed, incompatible-network), or where the
 *   group vanished; cutover.Deadline
 */
export async function awaitRestored(
  args: MadeGroup & { shape: AskedShape; since: Watermark; timeoutMs: number },
): Promise<Restored> {
  const { id, shape, timeoutMs } = args;
  const began = kept<{ restoring: { at: number; seen: boolean } }>().restoring ?? { at: Date.now(), seen: false };
  let broken = 0;
  const group = await waitUntil<GroupFacts | undefined>({
    intervalMs: pollInterval(),
    read: async () => {
      const now = await findMade(args);
      if (!now && began.seen) throw failed(args, 'it was there and is gone', []);
      began.seen ||= now !== undefined;
      keep({ restoring: began });
      const nodes = now ? brokenNodes(now) : [];
      if (now && (now.statusMeaning === 'failed' || nodes.length > 0)) {
        const reasons = await reasonsOf(args, now);
        if (reasons.length > 0 || (broken += 1) >= EVENT_READINGS) {
          throw failed(args, [...nodes, ...(nodes.length > 0 ? [] : [`it is ${now.status}`])].join(', '), reasons);
        }
      }
      if (Date.now() >= began.at + timeoutMs) {
        throw permanent(ErrorType.deadline, `${id} is not available in time: ${stateText(now, shape)}`, {
          remedy: 'AWS goes on with it: retry the step to wait on, or abort, which deletes it',
        });
      }
      return now;
    },
    done: (now) => now !== undefined && isReady(now, shape),
    progress: (now) => ({
      text: `${id}: ${stateText(now, shape)} (${Math.round((Date.now() - began.at) / 1000)} s)`,
    }),
  });
  return { id, primary: group!.primary!, nodes: group!.members.length };
}

function isReady(group: GroupFacts, shape: AskedShape): boolean {
  const { status, members, nodeGroups, primary, pendingModifications } = group;
  const all = members.length >= shape.nodes && nodeGroups.length >= shape.shards;
  const ready = all && members.every(({ statusMeaning }) => statusMeaning === 'ok');
  return status === 'available' && primary !== undefined && ready && pendingModifications.length === 0;
}

function stateText(now: GroupFacts | undefined, { nodes }: AskedShape): string {
  if (!now) return 'not listed yet';
  const ready = now.members.filter(({ statusMeaning }) => statusMeaning === 'ok').length;
  return `it is ${now.status}, ${ready} of ${nodes} node(s) available`;
}

async function reasonsOf({ since, aws = {} }: MadeGroup & { since: Watermark }, group: GroupFacts): Promise<string[]> {
  const nodes = group.members.map(({ id }) => ({ id, type: 'cache-cluster' as const }));
  const events = await eventsSince({ sources: [{ id: group.id }, ...nodes], since, aws });
  return [...new Set(events.map(({ message }) => message).filter((message) => REASON.test(message)))].slice(-3);
}

function failed({ id }: MadeGroup, what: string, reasons: string[]): Error {
  return permanent(
    ErrorType.serviceFailed,
    `the restore to ${id} failed: ${what}; ${reasons.length > 0 ? reasons.join(' | ') : 'and its events give no reason'}`,
    {
      remedy: /incompatible-network/.test(what)
        ? 'the subnet group or the security groups do not fit: mend them; a retry deletes what failed and starts over, an abort deletes it'
        : 'the usual reason is data that does not fit the node type, less reserved-memory-percent: abort, which deletes what failed, and start again with a larger nodeType or more shards; a retry deletes what failed and starts over as it is',
    },
  );
}
