/** An ElastiCache endpoint that answers what a test tells it to, for states that no emulator need be able to be in. */
import { createServer } from 'node:http';
import { MockActivityEnvironment } from '@temporalio/testing';
import { DefaultLogger } from '@temporalio/worker';
import { XMLBuilder } from 'fast-xml-parser';
import { vi } from 'vitest';
import { closeAwsClients } from '../activities/aws/clients.ts';
import { freePort } from '../sandbox/runtime/ports.ts';

/** The inside of `<XResult>`, or an error's wire code. */
export type Answer = object | { error: string };
type Handler = (input: Record<string, string>, nth: number) => Answer;

const xml = new XMLBuilder({});

export interface Answers {
  /** How an action is answered from now on; its count starts again. */
  on(action: string, handler: Answer | Handler): void;
  calls: { action: string; input: Record<string, string> }[];
  called(action: string): number;
  reset(): void;
  stop(): Promise<void>;
}

/** Starts it and points the SDK's standard variables to it. */
export async function startAnswers(): Promise<Answers> {
  const handlers = new Map<string, { handler: Answer | Handler; nth: number }>();
  const calls: Answers['calls'] = [];
  const server = createServer((request, response) => {
    let body = '';
    request.setEncoding('utf8').on('data', (chunk: string) => (body += chunk));
    request.on('end', () => {
      const { Action: action = '', Version: _, ...input } = Object.fromEntries(new URLSearchParams(body));
      calls.push({ action, input });
      const entry = handlers.get(action);
      const answer = !entry
        ? { error: `NoAnswerFor${action}` }
        : typeof entry.handler === 'function'
          ? entry.handler(input, ++entry.nth)
          : entry.handler;
      response.setHeader('content-type', 'text/xml');
      if ('error' in answer) {
        response.statusCode = 400;
        response.end(xml.build({ ErrorResponse: { Error: { Code: answer.error, Message: 'said so' } } }));
      } else {
        response.end(xml.build({ [`${action}Response`]: { [`${action}Result`]: { '#text': '', ...answer } } }));
      }
    });
  });
  const port = await freePort();
  await new Promise<void>((ready) => server.listen(port, '127.0.0.1', ready));
  vi.stubEnv('AWS_ENDPOINT_URL', `http://127.0.0.1:${port}`);
  vi.stubEnv('AWS_REGION', 'ap-northeast-1');
  vi.stubEnv('AWS_ACCESS_KEY_ID', 'test');
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'test');
  return {
    calls,
    on: (action, handler) => void handlers.set(action, { handler, nth: 0 }),
    called: (action) => calls.filter((call) => call.action === action).length,
    reset: () => {
      handlers.clear();
      calls.length = 0;
    },
    stop: async () => {
      vi.unstubAllEnvs();
      closeAwsClients();
      server.closeAllConnections();
      await new Promise((closed) => server.close(closed));
    },
  };
}

export interface Beats {
  progress?: { text: string };
  checkpoint?: unknown;
}

/** Runs one activity as Temporal would, with the heartbeat of its last attempt; tells what it beat. */
export function activity(info: { heartbeatDetails?: unknown; attempt?: number } = {}) {
  const env = new MockActivityEnvironment(info, { logger: new DefaultLogger('ERROR') });
  const beats: Beats[] = [];
  env.on('heartbeat', (details: Beats) => beats.push(structuredClone(details)));
  return {
    env,
    beats,
    run: <A extends object, R>(fn: (args: A) => Promise<R>, args: A): Promise<R> => env.run(fn, args),
  };
}

export interface GroupShape {
  status?: string;
  shards?: number;
  more?: object;
}

/** DescribeReplicationGroups of `orders`: cluster mode disabled with one shard, enabled with more. */
export function group({ status = 'available', shards = 1, more = {} }: GroupShape = {}): object {
  const clustered = shards > 1;
  const nodeGroup = (shard: number) => {
    const name = (node: number) => (clustered ? `orders-000${shard}-00${node}` : `orders-00${node}`);
    const member = (node: number) => ({
      CacheClusterId: name(node),
      PreferredAvailabilityZone: `ap-northeast-1${node === 1 ? 'a' : 'c'}`,
      ...(clustered
        ? {}
        : {
            CurrentRole: node === 1 ? 'primary' : 'replica',
            ReadEndpoint: { Address: `${name(node)}.cache.internal`, Port: 6379 },
          }),
    });
    return {
      NodeGroupId: `000${shard}`,
      Status: 'available',
      ...(clustered ? { Slots: '0-1' } : { PrimaryEndpoint: { Address: 'orders.cache.internal', Port: 6379 } }),
      NodeGroupMembers: { NodeGroupMember: [member(1), member(2)] },
    };
  };
  return {
    ReplicationGroups: {
      ReplicationGroup: {
        ReplicationGroupId: 'orders',
        ARN: 'arn:aws:elasticache:ap-northeast-1:1:replicationgroup:orders',
        Status: status,
        PendingModifiedValues: '',
        MultiAZ: 'enabled',
        AutomaticFailover: 'enabled',
        ClusterEnabled: clustered,
        ...(clustered ? { ConfigurationEndpoint: { Address: 'orders.clustercfg.internal', Port: 6380 } } : {}),
        NodeGroups: { NodeGroup: Array.from({ length: shards }, (_, index) => nodeGroup(index + 1)) },
        CacheNodeType: 'cache.r6g.large',
        SnapshotRetentionLimit: 7,
        SnapshotWindow: '05:00-06:00',
        TransitEncryptionEnabled: false,
        AtRestEncryptionEnabled: true,
        AuthTokenEnabled: false,
        DataTiering: 'disabled',
        ...more,
      },
    },
  };
}

/** DescribeCacheClusters of any node. */
export const node = (input: Record<string, string>, status = 'available'): object => ({
  CacheClusters: {
    CacheCluster: {
      CacheClusterId: input['CacheClusterId'],
      CacheClusterStatus: status,
      Engine: 'valkey',
      EngineVersion: '7.2.6',
      PreferredMaintenanceWindow: 'sun:23:00-mon:01:30',
      CacheParameterGroup: { CacheParameterGroupName: 'orders-params' },
      CacheNodes: { CacheNode: { Endpoint: { Address: 'node.internal', Port: 6379 } } },
    },
  },
});

export const event = (at: string, message: string): object => ({
  SourceIdentifier: 'orders',
  SourceType: 'replication-group',
  Message: message,
  Date: at,
});
export const events = (...list: object[]): object => ({ Events: { Event: list } });
export const tags = (record: Record<string, string>): object => ({
  TagList: { Tag: Object.entries(record).map(([Key, Value]) => ({ Key, Value })) },
});
