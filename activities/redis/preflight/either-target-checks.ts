/** What is asked of any target, ElastiCache or not: it is new enough, has room, is empty (facts/redis-aws 4.1 T2, T5, T9). */
import prettyBytes from 'pretty-bytes';
import { CannotCheck, pass, unmet, warn, type Finding } from '../../preflight/check.ts';
import { redisCli } from './commands.ts';
import { followsOurSource, type RedisOnlineCheck, type RedisOnlineContext } from './context.ts';
import { infoNumber, keysByDatabase, type RedisProbe } from './probe.ts';
import { atLeast } from './versions.ts';

const cli = ({ target }: RedisOnlineContext, ...command: string[]) => redisCli(target.endpoint, ...command);
const bytes = (n: number) => prettyBytes(n, { binary: true, maximumFractionDigits: 1 });

/** The source grows during the copy, and the same data takes a little more in another version (facts 4.1 T5). */
export const ROOM = 1.1;

export const eitherTargetChecks: readonly RedisOnlineCheck[] = [
  {
    id: 'T2',
    title: "the target's engine is 5.0.5 or newer, or Valkey",
    severity: 'fail',
    remedy: () => 'use a target of a supported version: Valkey 8 follows any Redis up to 7.2',
    byHand: (c) => `${cli(c, 'INFO', 'server')}  # redis_version, valkey_version`,
    run: async (c) => {
      const version = await c.targetVersion();
      return atLeast(version, 5, 0, 5) ? pass(version.text) : unmet(`the target is ${version.text}`);
    },
  },
  {
    id: 'T5',
    title: "the source's data fits into the target",
    severity: 'fail',
    remedy: (c) => c.targetSettingRemedy('maxmemory', '<more>'),
    byHand: (c) => `${cli(c, 'INFO', 'memory')}  # maxmemory above the source's used_memory x ${ROOM}`,
    run: checkRoom,
  },
  {
    id: 'T9',
    title: 'the target is empty, or the file says that its keys may go',
    severity: 'fail',
    remedy: (c) =>
      `${cli(c, 'FLUSHALL')}  # deletes them all, as attaching would; or allowNonEmptyTarget: true in the file`,
    byHand: (c) => `${cli(c, 'INFO', 'keyspace')}  # nothing`,
    run: async (c) => {
      const keys = [...keysByDatabase(await c.target.info())];
      if (keys.length === 0) return pass('empty');
      const named = keys.map(([db, count]) => `db${db}: ${count} keys`).join(', ');
      if (await followsOurSource(c)) return pass(`${named}, copied from the source`);
      return c.migration.allowNonEmptyTarget
        ? warn(`${named}: attaching deletes them, as the file allows`)
        : unmet(`${named}: attaching deletes them`);
    },
  },
  {
    id: 'C9',
    title: 'once promoted, the target will take writes',
    severity: 'fail',
    remedy: (c) => c.targetSettingRemedy('min-replicas-to-write', '0'),
    byHand: (c) => `${c.targetSettingByHand('min-replicas-to-write')}  # no more than its replicas`,
    run: async (c) => checkTakesWrites(c.target, await c.targetSetting('min-replicas-to-write')),
  },
];

/** @param setting its min-replicas-to-write, undefined where it has none */
export async function checkTakesWrites(target: RedisProbe, setting: string | undefined): Promise<Finding> {
  const asked = Number(setting ?? 0);
  if (asked === 0) return pass('min-replicas-to-write 0');
  const replicas = infoNumber(await target.info(), 'connected_slaves');
  const found = `min-replicas-to-write ${asked} on the target, with ${replicas} replicas of its own`;
  return replicas >= asked ? pass(found) : unmet(`${found}: promoted, it would refuse every write`);
}

async function checkRoom(c: RedisOnlineContext): Promise<Finding> {
  const [source, target] = await Promise.all([c.source.info(), c.target.info()]);
  const needed = infoNumber(source, 'used_memory') * ROOM;
  const limit = infoNumber(target, 'maxmemory');
  const elasticache = c.migration.engine === 'elasticache';
  // Unset on a server of one's own is "all there is"; on ElastiCache it is never unset.
  const reserved = elasticache ? Number((await c.targetSetting('reserved-memory-percent')) ?? 25) : 0;
  const room = limit > 0 ? limit * (1 - reserved / 100) : infoNumber(target, 'total_system_memory');
  if (room === 0) throw new CannotCheck('the target does not say how much memory it has');
  const of =
    limit > 0
      ? `maxmemory ${bytes(limit)}${elasticache ? ` less ${reserved} % reserved` : ''}`
      : `no maxmemory, ${bytes(room)} on the machine`;
  const found = `${bytes(needed)} needed (the source's ${bytes(needed / ROOM)} and a tenth), ${of}`;
  return room > needed
    ? pass(found)
    : unmet(found, c.targetSettingRemedy('maxmemory', `${Math.ceil((needed * 1.25) / 1048576)}mb`));
}
