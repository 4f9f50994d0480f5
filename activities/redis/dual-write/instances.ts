/** The instances of the application: who lives, who follows, who went silent, and the end of one that is gone. */
import {
  acknowledges,
  decodeInstance,
  dualClientName,
  dualKeys,
  effectiveControl,
  harmlessFrom,
  isSilent,
  type DualControl,
  type DualInstance,
} from '../../../spec/dual-write.ts';
import type { RedisDualWrite } from '../../../spec/kind-redis-dual-write.ts';
import type { RedisEndpoint } from '../../../spec/values.ts';
import { asPairs } from '../compare/replies.ts';
import { connectRedis } from '../connect.ts';
import { ownScript } from '../own-scripts.ts';
import { redisCli } from '../preflight/commands.ts';
import { topologyOf } from '../copy/topology.ts';
import type { ControlKey } from './control.ts';

export interface KnownInstance {
  name: string;
  /** As it stands in the hash. */
  text: string;
  /** undefined: not readable by this version. */
  instance: DualInstance | undefined;
}

export async function readInstances(key: ControlKey): Promise<KnownInstance[]> {
  const found = await key.redis.hgetall(dualKeys(key.migration.id).instances);
  return decodeKnown(Object.entries(found).flat());
}

/** @param flat names and texts in turn, as HGETALL gives them */
export function decodeKnown(flat: readonly string[]): KnownInstance[] {
  return asPairs(flat)
    .map(([name, text]) => ({ name, text, instance: decodeInstance(text) }))
    .sort((a, b) => a.name.localeCompare(b.name));
}

export interface Judged {
  /** Living instances that do as the control says. */
  following: number;
  /** Each with why it is not counted, for people. */
  missing: { name: string; why: string; silent: boolean }[];
}

/** Who does what the control asks for, by the source's clock. A hold that ran out is the phase that it came from. */
export function judgeInstances(known: readonly KnownInstance[], control: DualControl, nowMs: number): Judged {
  const judged: Judged = { following: 0, missing: [] };
  const wanted = effectiveControl(control, nowMs);
  for (const { name, instance } of known) {
    if (!instance) {
      judged.missing.push({ name, why: `${name} is of a version that can't be understood`, silent: false });
      continue;
    }
    const who = `${name} (${instance.host}, pid ${instance.pid})`;
    const silentMs = nowMs - instance.at;
    if (isSilent(instance, control, nowMs)) {
      judged.missing.push({ name, why: `${who} is silent for ${Math.round(silentMs / 1000)} s`, silent: true });
    } else if (acknowledges(instance, wanted)) {
      judged.following++;
    } else {
      const busy = instance.pending > 0 ? `, ${instance.pending} writes are under way` : '';
      judged.missing.push({
        name,
        why: `${who} is still at ${instance.phase}, epoch ${instance.epoch}${busy}`,
        silent: false,
      });
    }
  }
  return judged;
}

/** Undefined, or why the instances are not all there. @param min so many have to be seen */
export function notAllThere(min: number, { following, missing }: Judged): string | undefined {
  if (missing.length > 0) return missing.map(({ why }) => why).join('; ');
  return following < min ? `${following} instances of the application are seen, ${min} are expected` : undefined;
}

/** The mend of what `notAllThere` says. */
export function remedyFor(migration: RedisDualWrite, { missing }: Judged): string {
  const gone = missing.filter(({ silent }) => silent).map(({ name }) => name);
  if (gone.length === 0) {
    return `start the application with cutover/dual-write and the id ${migration.id} (docs/dual-write-library.md), or wait until it has followed`;
  }
  const { instances } = dualKeys(migration.id);
  return `is it still running? Let it go on, or end it; once it is gone for good: ${redisCli(migration.source, 'HDEL', instances, ...gone)}`;
}

const RETIRE = ownScript(`
if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then return redis.call('HDEL', KEYS[1], ARGV[1]) end
return 0
`);

/**
 * Takes out instances that are silent for longer than the file allows, and ends their connections.
 * @returns their names
 */
export async function retireGone(key: ControlKey, control: DualControl, nowMs: number): Promise<string[]> {
  const { goneAfter } = key.migration.instances;
  if (goneAfter === undefined) return [];
  const gone: string[] = [];
  for (const { name, text, instance } of await readInstances(key)) {
    if (!instance || nowMs - instance.at < goneAfter || nowMs < harmlessFrom(instance, control)) continue;
    await endConnections(key.migration, (owner) => owner === name);
    // It may have come back just now.
    if (Number(await key.redis.eval(RETIRE.text, 1, dualKeys(key.migration.id).instances, name, text)) > 0) {
      gone.push(name);
    }
  }
  return gone;
}

/**
 * Ends connections of instances on both sides: what a process had sent, or sends when it wakes up, meets a closed socket.
 * @param which told the instance's name
 */
export async function endConnections(
  migration: RedisDualWrite,
  which: (instance: string, side: 'source' | 'target') => boolean,
): Promise<number> {
  const prefix = dualClientName(migration.id, '');
  let ended = 0;
  for (const side of ['source', 'target'] as const) {
    for (const node of await nodesOf(migration[side], side, migration.id)) {
      const redis = await connectRedis(node, { name: `cutover:${migration.id}:end` });
      try {
        for (const line of String(await redis.client('LIST')).split('\n')) {
          const name = /(?:^| )name=(\S*)/.exec(line)?.[1] ?? '';
          const id = /(?:^| )id=(\d+)/.exec(line)?.[1];
          if (!id || !name.startsWith(prefix) || !which(name.slice(prefix.length), side)) continue;
          ended += Number(await redis.client('KILL', 'ID', id));
        }
      } finally {
        redis.disconnect();
      }
    }
  }
  return ended;
}

async function nodesOf(endpoint: RedisEndpoint, side: 'source' | 'target', id: string): Promise<RedisEndpoint[]> {
  const redis = await connectRedis(endpoint, { name: `cutover:${id}:end` });
  try {
    const { primaries } = await topologyOf(redis, endpoint, side);
    return primaries.map(({ at }) => ({ ...endpoint, ...at }));
  } finally {
    redis.disconnect();
  }
}
