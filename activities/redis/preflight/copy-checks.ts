/** What the first copy needs of the source, and what of the data the target can't take (facts/redis-aws 4.1 S8–S10, S12). */
import prettyBytes from 'pretty-bytes';
import { CannotCheck, pass, unknown, unmet, warn, type Finding } from '../../preflight/check.ts';
import { redisCli } from './commands.ts';
import type { RedisOnlineCheck, RedisOnlineContext } from './context.ts';
import { infoNumber, keysByDatabase, listOf, type RedisProbe } from './probe.ts';
import { largestSampled } from './sample-keys.ts';
import { atLeast } from './versions.ts';

const cli = ({ source }: RedisOnlineContext, ...command: string[]) => redisCli(source.endpoint, ...command);
const bytes = (n: number) => prettyBytes(n, { binary: true });

/** A fork for BGSAVE copies the pages that are written meanwhile; of a busy cache that is a third and more. */
const FORK_HEADROOM = 0.3;
/** Above this a single value blocks source and target for long enough that the link may drop. */
const BIG_VALUE = 100 * 1024 * 1024;

export const copyChecks: readonly RedisOnlineCheck[] = [
  {
    id: 'S8',
    title: 'source and target have the same number of databases',
    severity: 'fail',
    remedy: (c) => c.targetSettingRemedy('databases', '<as the source>'),
    byHand: (c) => `${cli(c, 'CONFIG', 'GET', 'databases')}  # against: ${c.targetSettingByHand('databases')}`,
    run: async (c) => {
      const [source, target] = await Promise.all([c.source.setting('databases'), c.targetSetting('databases')]);
      if (source === undefined || target === undefined)
        throw new CannotCheck('a side does not say how many databases it has');
      if (source === target) return pass(`${source} on both`);
      if (c.migration.engine === 'replicaof' && Number(target) > Number(source)) {
        return pass(`${source} on the source, ${target} on the target`);
      }
      return unmet(`${source} on the source, ${target} on the target`, c.targetSettingRemedy('databases', source));
    },
  },
  {
    id: 'S8.keys',
    title: 'every database in use exists on the target',
    severity: 'fail',
    cheap: true,
    remedy: (c) => c.targetSettingRemedy('databases', '<above the highest in use>'),
    byHand: (c) => `${cli(c, 'INFO', 'keyspace')}  # each number below: ${c.targetSettingByHand('databases')}`,
    run: async (c) => {
      const used = [...keysByDatabase(await c.source.info())];
      const databases = await c.targetSetting('databases');
      if (databases === undefined) throw new CannotCheck('the target does not say how many databases it has');
      const beyond = used.filter(([db]) => db >= Number(databases));
      if (beyond.length === 0) return pass(`${used.length} in use, the target has ${databases}`);
      const named = beyond.map(([db, keys]) => `db${db} (${keys} keys)`).join(', ');
      const needed = Math.max(...beyond.map(([db]) => db)) + 1;
      return unmet(
        `${named} on the source; the target has ${databases} databases`,
        c.targetSettingRemedy('databases', `${needed}`),
      );
    },
  },
  {
    id: 'S9.memory',
    title: 'the source has memory left for a fork',
    severity: 'warn',
    remedy: () => 'free memory on the source machine, or copy at a quiet hour: pages written during BGSAVE exist twice',
    byHand: () => `on the source's machine: free -m`,
    run: async (c) => {
      const info = await c.source.info();
      const used = infoNumber(info, 'used_memory_rss');
      const total = infoNumber(info, 'total_system_memory');
      if (total === 0) throw new CannotCheck('the source does not know how much memory its machine has');
      const found = `${bytes(used)} of ${bytes(total)} used by Redis`;
      return total - used < used * FORK_HEADROOM
        ? unmet(`${found}; less than ${FORK_HEADROOM * 100} % of it is left`)
        : pass(found);
    },
  },
  {
    id: 'S9.bgsave',
    title: "the source's last BGSAVE worked",
    severity: 'fail',
    remedy: (c) => `see the source's log for why (disk, memory, folder), mend it, then: ${cli(c, 'BGSAVE')}`,
    byHand: (c) => `${cli(c, 'INFO', 'persistence')}  # rdb_last_bgsave_status:ok`,
    run: async (c) => {
      const status = (await c.source.info())['rdb_last_bgsave_status'];
      if (status === undefined) throw new CannotCheck('INFO has no rdb_last_bgsave_status');
      return status === 'ok'
        ? pass('rdb_last_bgsave_status:ok')
        : unmet(`rdb_last_bgsave_status:${status}: the copy begins with a BGSAVE`);
    },
  },
  {
    id: 'S9.fork',
    title: "the source's machine lets it fork",
    severity: 'fail',
    remedy: () => `on the source's machine: sysctl vm.overcommit_memory=1`,
    byHand: (c) => `on the source's machine: sysctl vm.overcommit_memory  # 1; or try it: ${cli(c, 'BGSAVE')}`,
    run: async (c) => {
      const info = await c.source.info();
      const took = infoNumber(info, 'latest_fork_usec');
      return took > 0 && info['rdb_last_bgsave_status'] === 'ok'
        ? pass(`it did so before, in ${(took / 1000).toFixed(1)} ms`)
        : unknown('it has not done so since it started; vm.overcommit_memory can only be read on its machine');
    },
  },
  {
    id: 'S9.disk',
    title: 'the source has disk for the copy, if it goes over disk',
    severity: 'fail',
    remedy: (c) => cli(c, 'CONFIG', 'SET', 'repl-diskless-sync', 'yes'),
    byHand: () => `on the source's machine: df -h "$(redis-cli CONFIG GET dir | tail -1)"`,
    run: async (c) => {
      const [diskless, dir, info] = await Promise.all([
        c.source.setting('repl-diskless-sync'),
        c.source.setting('dir'),
        c.source.info(),
      ]);
      if (diskless === 'yes') return pass('repl-diskless-sync yes: the copy goes straight to the socket');
      return unknown(
        `repl-diskless-sync no: the copy is first written to ${dir}, up to ${bytes(infoNumber(info, 'used_memory'))}`,
        `on the source's machine: df -h ${dir}  # or do without disk: ${cli(c, 'CONFIG', 'SET', 'repl-diskless-sync', 'yes')}`,
      );
    },
  },
  {
    id: 'S12.modules',
    title: 'the source has no modules that the target lacks',
    severity: 'fail',
    remedy: () =>
      'load the same modules on the target, or move the keys of module types by other means and delete them first',
    byHand: (c) => `${cli(c, 'MODULE', 'LIST')}  # empty`,
    run: (c) => checkModules(c.source, c.target),
  },
  {
    id: 'S12.big-keys',
    title: 'no value is so big that it blocks the copy',
    severity: 'warn',
    remedy: (c) => `${cli(c, '--memkeys')}  # split the biggest, or expect pauses`,
    byHand: (c) => cli(c, '--memkeys'),
    run: (c) => checkBigKeys(c.source),
  },
  {
    id: 'S12.eviction',
    title: 'neither side evicts keys by itself',
    severity: 'warn',
    remedy: (c) => cli(c, 'CONFIG', 'SET', 'maxmemory-policy', 'noeviction'),
    byHand: (c) => `${cli(c, 'CONFIG', 'GET', 'maxmemory*')}  # and: ${c.targetSettingByHand('maxmemory-policy')}`,
    run: async (c) => {
      const info = await c.source.info();
      const policy = info['maxmemory_policy'] ?? (await c.source.setting('maxmemory-policy'));
      const limit = infoNumber(info, 'maxmemory');
      if (policy?.startsWith('allkeys') && limit > 0) {
        return unmet(
          `${policy} at ${bytes(limit)}: the source may evict any key, the record of our fence (cutover:fence) as well, and keys that differ in compare`,
        );
      }
      const target = await c.targetSetting('maxmemory-policy');
      return target === policy || target === undefined
        ? pass(`maxmemory-policy ${policy}${target === undefined ? '' : ' on both'}`)
        : warn(
            `${policy} on the source, ${target} on the target`,
            c.targetSettingRemedy('maxmemory-policy', policy ?? 'noeviction'),
          );
    },
  },
];

/** @throws CannotCheck where MODULE LIST of the source is refused */
export async function checkModules(source: RedisProbe, target: RedisProbe): Promise<Finding> {
  if (!atLeast(await source.version(), 4)) return pass('modules came with Redis 4');
  const loaded = moduleNames(await source.call('MODULE', 'LIST'));
  if (loaded.length === 0) return pass('no modules');
  const known = await target.call('MODULE', 'LIST').then(moduleNames, (): string[] => []);
  const missing = loaded.filter((name) => !known.includes(name));
  return missing.length === 0
    ? pass(`${loaded.join(', ')} on both`)
    : unmet(`on the source alone: ${missing.join(', ')}; a key of such a type ends the copy`);
}

/** @throws CannotCheck where keys can't be sampled */
export async function checkBigKeys(source: RedisProbe): Promise<Finding> {
  if (!atLeast(await source.version(), 4)) throw new CannotCheck('MEMORY USAGE came with Redis 4');
  const { sampled, largest } = await largestSampled(source);
  if (!largest) return pass('the source is empty');
  const found = `the largest of ${sampled} keys looked at is ${largest.key} in db${largest.db}, ${bytes(largest.bytes)}`;
  return largest.bytes > BIG_VALUE ? unmet(found) : pass(found);
}

/** Valkey 9 lists its own scripting engine as a module; it has no keys. */
const ENGINES = new Set(['lua']);

function moduleNames(answer: unknown): string[] {
  const names = listOf(answer).map((module) => {
    const fields = listOf(module);
    return String(fields[fields.indexOf('name') + 1]);
  });
  return names.filter((name) => !ENGINES.has(name));
}
