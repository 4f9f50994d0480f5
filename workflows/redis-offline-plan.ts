/** The plan of `redis-offline`. Pure. */
import { hookTitle } from '../spec/hooks.ts';
import { hasShards, type RedisOffline } from '../spec/kind-redis-offline.ts';
import type { Plan, PlannedStep } from '../spec/status.ts';
import { gateOpens, seconds } from './plan-text.ts';

export function redisOfflinePlan(migration: RedisOffline): Plan {
  const source = `${migration.source.host}:${migration.source.port}`;
  const target = migration.to.replicationGroup;
  return {
    kind: migration.kind,
    title: migration.description ?? `Redis ${source} to ElastiCache ${target}, by an RDB`,
    summary: `Redis ${source} → RDB → s3://${migration.s3.bucket} → ElastiCache ${target}, offline`,
    steps: [
      { id: 'preflight', kind: 'step', title: 'Check the source, the bucket and what the new group is to be' },
      ...fenceSteps(migration, source),
      ...rdbSteps(migration, source),
      ...groupSteps(migration, target),
      ...switchSteps(migration, target),
    ],
    warnings: warningsOf(migration, source, target),
  };
}

/** `3 shards of cache.r7g.large`, where there are shards. */
function shapeText(migration: RedisOffline): string {
  const { nodeType, shards } = migration.to;
  if (!hasShards(migration)) return nodeType;
  const count = Array.isArray(shards) ? shards.length : (shards ?? 1);
  return `cluster mode, ${count} shard${count === 1 ? '' : 's'} of ${nodeType}`;
}

function warningsOf(migration: RedisOffline, source: string, target: string): string[] {
  const { fence, compare, switch: hooks } = migration;
  return [
    fence
      ? `${source} refuses every write from the fence until the application is on ${target}: while it is saved, uploaded, restored (AWS takes 10 to 50 minutes to make a group) and compared, and for as long as the gate waits. The preflight says how long for this source.`
      : `No fence: EVERY WRITE that ${source} takes after its RDB was begun IS LOST to ${target}. How much that was is in the report.`,
    `Once the switch has begun there is no way back by an abort: ${target} takes writes that ${source} does not have${fence ? ', and the fence stays' : ''}.`,
    ...(hasShards(migration)
      ? [
          `${target} has shards: the application's client has to be one for clusters, and the keys of one command have to lie in one slot. The preflight says which such commands it used.`,
        ]
      : []),
    ...(compare.mode === 'off' ? [`compare is off: nothing proves that ${target} has the keys of ${source}.`] : []),
    ...(hooks.length === 0
      ? [
          `No switch hooks: sending the application to ${target} is up to you, once the gate has opened${fence ? '; writes are refused until it gets there' : ''}.`,
        ]
      : []),
  ];
}

function fenceSteps({ fence, cutover }: RedisOffline, source: string): PlannedStep[] {
  if (!fence) return [];
  return [
    ...(cutover.gate === undefined
      ? []
      : [
          {
            id: 'approve-fence',
            kind: 'gate' as const,
            title: `Gate: ${gateOpens(cutover.gate)}, before writes are refused`,
          },
        ]),
    {
      id: 'fence',
      kind: 'step',
      title: `Fence ${source}: it refuses writes from here`,
      undo: 'the fence is lifted, and the source proven to take writes',
      warning: 'writes are refused from here until the application is on the new group',
    },
  ];
}

function rdbSteps({ rdb: { from }, s3, keepRdb }: RedisOffline, source: string): PlannedStep[] {
  const how =
    from.type === 'replication'
      ? `${source} saves itself for a replica, and is streamed`
      : from.type === 'path'
        ? 'The worker reads the file'
        : `${from.instance} uploads the file, told by SSM`;
  return [
    ...(from.type === 'replication'
      ? []
      : [{ id: 'save', kind: 'step' as const, title: `BGSAVE of our own on ${source}, waited for` }]),
    {
      id: 'upload',
      kind: 'step',
      title: `${how}, to s3://${s3.bucket}/${s3.prefix}…, by parts with checksums; checked to be a whole RDB`,
      undo: keepRdb
        ? 'what is not whole is removed; a whole RDB stays (keepRdb)'
        : 'the RDB is deleted, and parts of it that were not put together',
    },
    { id: 'grant', kind: 'step', title: 'ElastiCache is let read that object, and nothing else' },
  ];
}

function groupSteps(migration: RedisOffline, target: string): PlannedStep[] {
  const { compare, fence } = migration;
  const what = compare.mode === 'full' ? 'every key' : `${compare.sampleRatio * 100} % of the keys`;
  return [
    {
      id: 'create',
      kind: 'step',
      title: `CreateReplicationGroup ${target} from it (${shapeText(migration)}), until every node is available`,
      undo: `${target} is deleted, and proven gone`,
    },
    { id: 'verify', kind: 'step', title: 'Every node answers, and a canary is written, read and deleted' },
    ...(compare.mode === 'off'
      ? []
      : [
          {
            id: 'compare',
            kind: 'step' as const,
            title: fence
              ? `Compare ${what} in both directions: they have to be equal`
              : `Compare ${what} in both directions: what differs is the loss, and is counted`,
            skip: 'differences that were found are carried over',
          },
        ]),
  ];
}

function switchSteps(migration: RedisOffline, target: string): PlannedStep[] {
  const hooks = migration.switch.map(hookTitle);
  const { soak, keepRdb } = migration;
  return [
    { id: 'approve-switch', kind: 'gate', title: `Gate: ${gateOpens(migration.gate)}, while ${target} is available` },
    {
      id: 'switch',
      kind: 'step',
      title: hooks.length > 0 ? `Switch: ${hooks.join(', then ')}` : 'Switch (no hooks in the file)',
      skip: 'the hooks that did not run are left to you',
      warning: 'there is no way back from here',
    },
    {
      id: 'report',
      kind: 'step',
      title: `Key counts and what was lost, for the report${keepRdb ? '' : '; the RDB is deleted from S3'}`,
    },
    ...(soak > 0
      ? [
          {
            id: 'soak',
            kind: 'step' as const,
            title: `Watch ${target} for ${seconds(soak)}`,
            skip: 'the watch ends at once',
          },
        ]
      : []),
  ];
}
