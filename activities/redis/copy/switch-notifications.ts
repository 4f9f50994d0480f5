/** Switching keyspace notifications on for the time of a copy, and back: the setting is journaled before it is changed. */
import type { Redis } from 'ioredis';
import { ErrorType } from '../../../spec/errors.ts';
import type { RedisEndpoint } from '../../../spec/values.ts';
import { permanent } from '../../errors.ts';
import { withRedis } from '../connect.ts';
import { atLeast, versionIfReadable } from '../preflight/versions.ts';
import { parseInfo } from '../replication.ts';
import { completed, notificationSetting } from './notifications.ts';
import { topologyOf } from './topology.ts';
import type { Address } from './types.ts';

interface NotificationInput {
  migrationId: string;
  source: RedisEndpoint;
}

/** What a node of the source was set to, and what it is to be set to. */
export interface NodeNotifications {
  at: Address;
  old: string;
  wanted: string;
}

const SETTING = 'notify-keyspace-events';

const withNode = <T>(input: NotificationInput, at: Address, use: (redis: Redis) => Promise<T>) =>
  withRedis({ ...input.source, ...at }, { name: `cutover:${input.migrationId}` }, use);

/**
 * Reads the setting of every node, to be journaled before it is changed.
 * @throws cutover.Denied where CONFIG is refused: then it can only be set where the service keeps it
 */
export async function readNotifications(input: NotificationInput): Promise<NodeNotifications[]> {
  const { host, port } = input.source;
  const { primaries } = await withNode(input, { host, port }, (redis) => topologyOf(redis, { host, port }, 'source'));
  return Promise.all(
    primaries.map(({ at }) =>
      withNode(input, at, async (redis) => {
        const old = await notificationSetting(redis);
        if (old === undefined) {
          throw permanent(ErrorType.denied, `${SETTING} can’t be read on ${at.host}:${at.port}: CONFIG is refused`, {
            remedy: 'permit CONFIG GET and SET to our user; on ElastiCache set it to KA in the parameter group',
          });
        }
        const info = parseInfo(await redis.info('everything').catch(() => redis.info()));
        return { at, old, wanted: completed(old, info['module'] !== undefined) };
      }),
    ),
  );
}

/** Switches on what is missing; what others listen to stays on. Can run twice. */
export async function switchOnNotifications(
  input: NotificationInput & { nodes: NodeNotifications[] },
): Promise<{ note: string }> {
  for (const { at, wanted } of input.nodes) {
    await withNode(input, at, (redis) => redis.config('SET', SETTING, wanted));
  }
  return { note: `${SETTING} is ${input.nodes.map(({ wanted }) => wanted).join(', ')}` };
}

/**
 * The undo. A setting that is no longer ours, because somebody changed it since, is left alone. Can run twice.
 * @throws what the first node failed with that can't be reached; the others are put back all the same
 */
export async function restoreNotifications(
  input: NotificationInput & { nodes: NodeNotifications[] },
): Promise<{ note: string }> {
  const notes: string[] = [];
  const failures: unknown[] = [];
  for (const { at, old, wanted } of input.nodes) {
    const restored = withNode(input, at, async (redis) => {
      const now = await notificationSetting(redis);
      // Redis writes the flags in its own order, and all classes as A.
      const all = allClasses(parseInfo(await redis.info('server')));
      const same = (a: string, b: string) => canonical(a, all) === canonical(b, all);
      if (now === undefined || same(now, old)) return `as before ("${old}")`;
      if (!same(now, wanted)) return `left alone: somebody set it to "${now}" since`;
      await redis.config('SET', SETTING, old);
      return `put back to "${old}"`;
    });
    await restored.then(
      (note) => notes.push(`${at.host}:${at.port} ${note}`),
      (error: unknown) => failures.push(error),
    );
  }
  if (failures.length > 0) throw failures[0];
  return { note: `${SETTING} on ${notes.join('; ')}` };
}

/**
 * What A stands for. Before Redis 6.2.2 there is no d, and all of the others are written as A; with d among them, that would
 * look like a setting of somebody else's.
 */
function allClasses(info: Record<string, string>): string {
  const version = versionIfReadable(info);
  return version && !atLeast(version, 6, 2, 2) ? 'g$lshzxet' : 'g$lshzxetd';
}

function canonical(setting: string, all: string): string {
  const flags = setting.replace('A', () => all);
  return [...new Set(flags.split(''))].toSorted().join('');
}
