/** Who is still connected to a group's nodes, and what they ask. Changes nothing. */
import { sleep } from '@temporalio/activity';
import type { Redis } from 'ioredis';
import type { SecretRef } from '../../spec/values.ts';
import { withRedis } from '../redis/connect.ts';
import { parseInfo } from '../redis/replication.ts';
import type { GroupFacts } from './replication-group.ts';

export interface NodeAccess {
  username?: string | undefined;
  password?: SecretRef | undefined;
  ca?: string | undefined;
}

export interface NodeClients {
  node: string;
  /** Connections of applications by address, without replicas and our own. */
  addresses: Record<string, number>;
  /** Commands of applications, measured over a second. */
  commandsPerSecond: number;
}

/** What servers, monitors and we ourselves send. */
const NOT_AN_APPLICATION =
  /^(info|ping|client|replconf|psync|sync|cluster|command|config|hello|auth|select|role|slowlog|latency|memory|monitor|quit|asking|readonly)(\||$)/;
const MEASURE_MS = 1_000;

/** @throws cutover.Unreachable, cutover.Denied, cutover.Secret: who is connected is unknown then */
export async function connectedClients(
  group: GroupFacts,
  access: NodeAccess,
  migrationId: string,
): Promise<NodeClients[]> {
  const nodes = group.members.filter(({ endpoint }) => endpoint !== undefined);
  return Promise.all(
    nodes.map(({ id, endpoint }) =>
      withRedis(
        {
          ...endpoint!,
          tls: group.transitEncryption ? (access.ca === undefined ? true : { ca: access.ca }) : false,
          ...(access.username === undefined ? {} : { username: access.username }),
          ...(access.password === undefined ? {} : { password: access.password }),
        },
        { name: `cutover:${migrationId}:look` },
        async (redis) => {
          const before = await commands(redis);
          const from = Date.now();
          await sleep(MEASURE_MS);
          const sent = (await commands(redis)) - before;
          const seconds = (Date.now() - from) / 1000;
          return {
            node: id,
            addresses: addressesIn(String(await redis.client('LIST'))),
            commandsPerSecond: Math.round(sent / seconds),
          };
        },
      ),
    ),
  );
}

async function commands(redis: Redis): Promise<number> {
  const stats = Object.entries(parseInfo(await redis.info('commandstats')));
  return stats
    .map(([key, value]): [string, string] => [key.replace(/^cmdstat_/, ''), value])
    .filter(([name]) => !NOT_AN_APPLICATION.test(name))
    .reduce((sum, [, value]) => sum + Number(/calls=(\d+)/.exec(value)?.[1] ?? 0), 0);
}

/** Of CLIENT LIST: replicas (S) and the link to a primary (M) are the group's own. */
function addressesIn(list: string): Record<string, number> {
  const found: Record<string, number> = {};
  for (const line of list.split('\n')) {
    const field = (name: string) => new RegExp(`(?:^| )${name}=(\\S*)`).exec(line)?.[1] ?? '';
    if (line.trim() === '' || /[SM]/.test(field('flags')) || field('name').startsWith('cutover:')) continue;
    const host = field('addr').replace(/:\d+$/, '');
    found[host] = (found[host] ?? 0) + 1;
  }
  return found;
}
