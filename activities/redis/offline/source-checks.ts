/** The source of an offline migration: what it takes to save it, to fetch what it saved, and to fence it. */
import { statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import prettyBytes from 'pretty-bytes';
import prettyMs from 'pretty-ms';
import type { Check } from '../../preflight/check.ts';
import { CannotCheck, fail, pass, unknown, unmet, warn } from '../../preflight/check.ts';
import { redisCli } from '../preflight/commands.ts';
import { userOf, type RedisOnlineCheck } from '../preflight/context.ts';
import { copyChecks } from '../preflight/copy-checks.ts';
import { fenceChecks } from '../preflight/fence-checks.ts';
import { refusedCommands, ruleFor } from '../preflight/permissions.ts';
import { infoNumber, keysByDatabase } from '../preflight/probe.ts';
import { sourceAccessChecks } from '../preflight/source-access-checks.ts';
import type { OfflineCheck, OfflineContext } from './context.ts';

const cli = ({ source }: OfflineContext, ...command: string[]) => redisCli(source.endpoint, ...command);
const bytes = (n: number) => prettyBytes(n, { binary: true });

/** A check of `redis-online` that asks the source alone. */
function borrowed(check: RedisOnlineCheck): OfflineCheck {
  const { id, title, severity, cheap } = check;
  const own: Check<OfflineContext> = {
    id,
    title,
    severity,
    remedy: (c) => check.remedy(c.online),
    byHand: (c) => check.byHand(c.online),
    run: (c) => check.run(c.online),
  };
  return cheap ? { ...own, cheap } : own;
}

const named = (checks: readonly RedisOnlineCheck[], ...ids: string[]) =>
  checks.filter(({ id }) => ids.includes(id)).map(borrowed);

/** Commands by which the RDB is made and fetched. */
function savingCommands({ migration }: OfflineContext): string[][] {
  if (migration.rdb.from.type === 'replication') {
    return [['PSYNC', '?', '-1'], ['REPLCONF', 'CAPA', 'eof'], ['PING'], ['INFO']];
  }
  return [['BGSAVE'], ['LASTSAVE'], ['INFO'], ['CONFIG', 'GET', 'dir']];
}

const mayBeSaved: OfflineCheck = {
  id: 'R1',
  title: 'our user may have the source make its RDB',
  severity: 'fail',
  cheap: true,
  remedy: (c) =>
    cli(
      c,
      'ACL',
      'SETUSER',
      userOf(c.source.endpoint),
      ...savingCommands(c).map(([name]) => `+${name?.toLowerCase()}`),
    ),
  byHand: (c) => `as an administrator: ${cli(c, 'ACL', 'GETUSER', userOf(c.source.endpoint))}`,
  run: async (c) => {
    const user = userOf(c.source.endpoint);
    const commands = savingCommands(c);
    const refused = await refusedCommands(c.source, user, commands);
    return refused.length === 0
      ? pass(`the user ${user} may ${commands.map(([name]) => name).join(', ')}`)
      : unmet(
          `the user ${user} may not ${refused.join(', ')}`,
          cli(c, 'ACL', 'SETUSER', user, ...refused.map(ruleFor)),
        );
  },
};

const oneServer: OfflineCheck = {
  id: 'R2',
  title: 'the source is one server, with all of the data',
  severity: 'fail',
  cheap: true,
  remedy: () =>
    'a source in cluster mode: kind: redis-online with engine: scan, or redis-dual-write, copies it shard by shard',
  byHand: (c) => `${cli(c, 'INFO', 'cluster')}  # cluster_enabled:0`,
  run: async (c) => {
    const info = await c.source.info();
    if (info['cluster_enabled'] === '1') {
      return fail('the source is in cluster mode: its RDB has the keys of one shard alone');
    }
    if (info['role'] === 'master') return pass('it is a primary, without cluster mode');
    return c.migration.fence
      ? fail(
          'the source is a replica: the fence has to go to its primary',
          `name ${info['master_host']}:${info['master_port']} as the source`,
        )
      : warn('the source is a replica: its RDB has what reached it until then', 'name its primary to be sure');
  },
};

const disk: OfflineCheck = {
  id: 'R3',
  title: 'there is disk for the RDB',
  severity: 'fail',
  remedy: (c) =>
    `free room in its folder, or do without disk: rdb: { from: { type: replication } } (and ${cli(c, 'CONFIG', 'SET', 'repl-diskless-sync', 'yes')})`,
  byHand: (c) => `on the source's machine: df -h "$(${cli(c, 'CONFIG', 'GET', 'dir')} | tail -1)"`,
  run: async (c) => {
    const { from } = c.migration.rdb;
    const [dir, info, diskless] = await Promise.all([
      c.source.setting('dir'),
      c.source.info(),
      c.source.setting('repl-diskless-sync'),
    ]);
    // An RDB is smaller than the memory it is of, save for data that is all small integers.
    const most = infoNumber(info, 'used_memory');
    if (from.type === 'replication' && diskless === 'yes')
      return pass('it goes straight to the socket (repl-diskless-sync yes)');
    const folder = from.type === 'path' && from.path !== undefined ? dirname(from.path) : dir;
    if (from.type !== 'path') {
      return unknown(`it is first written to ${dir ?? 'its folder'} on the source's machine, up to ${bytes(most)}`);
    }
    if (folder === undefined) throw new CannotCheck('the source does not tell its dir');
    const found = await statfs(folder).catch((error: Error) => {
      throw new CannotCheck(`the worker can't see ${folder}: ${error.message}`);
    });
    const free = found.bavail * found.bsize;
    // Until a save has ended, the file before it stays.
    return (free > most ? pass : unmet)(`${bytes(free)} are free in ${folder}; the RDB has up to ${bytes(most)}`);
  },
};

/** Bytes a second: a disk's and a fork's pace, S3 from one worker, a server that loads. For an estimate, no promise. */
const PACE = { save: 100e6, upload: 60e6, load: 150e6 };
/** AWS tells none; seen are 10 to 50 minutes (facts/redis-aws 4.6). */
const CREATION_MS = { least: 10 * 60_000, most: 50 * 60_000 };
/** Keys a second, as measured (facts/performance). */
const COMPARED = 30_000;

const pause: OfflineCheck = {
  id: 'R4',
  title: 'how long the source refuses writes',
  severity: 'warn',
  remedy: () =>
    'take it at a quiet hour (cutover.gate), have the application queue its writes, or use kind: redis-online',
  byHand: (c) => `${cli(c, 'INFO', 'memory')}  # used_memory`,
  run: async (c) => {
    const info = await c.source.info();
    const size = infoNumber(info, 'used_memory');
    const keys = [...keysByDatabase(info).values()].reduce((sum, n) => sum + n, 0);
    const moved = (size / PACE.save + size / PACE.upload + size / PACE.load) * 1000;
    const compared = c.migration.compare.mode === 'off' ? 0 : (keys / COMPARED) * 1000;
    const [least, most] = [CREATION_MS.least, CREATION_MS.most].map((creation) => creation + moved + compared);
    const span = (ms: number) => prettyMs(Math.ceil(ms / 60_000) * 60_000);
    return unmet(
      `for ${bytes(size)} and ${keys} keys about ${span(least!)} to ${span(most!)}, and then for as long as the gate before the switch waits`,
    );
  },
};

const loss: OfflineCheck = {
  id: 'R5',
  title: 'what is lost without a fence',
  severity: 'warn',
  remedy: () =>
    'fence: true, or an application that writes nothing meanwhile; no loss and a short pause: kind: redis-online',
  byHand: (c) => `${cli(c, 'INFO', 'stats')}  # twice: total_commands_processed, total_net_input_bytes`,
  run: async (c) => {
    const { bytesPerSecond, exact } = await c.source.writeRate();
    if (bytesPerSecond === 0 && exact)
      return warn('nothing was written in the last second; every write after BGSAVE began is lost');
    return unmet(
      `every write after BGSAVE began is lost; the source takes ${bytes(Math.round(bytesPerSecond))} a second now${exact ? '' : ', reads included'}`,
    );
  },
};

const always = [
  ...named(sourceAccessChecks, 'S0', 'S1'),
  mayBeSaved,
  oneServer,
  ...named(copyChecks, 'S9.memory', 'S9.bgsave', 'S9.fork', 'S12.modules'),
  disk,
];

/** In the order of the report. */
export function sourceChecks({ fence }: { fence: boolean }): OfflineCheck[] {
  return fence ? [...always, ...fenceChecks.map(borrowed), pause] : [...always, ...named(fenceChecks, 'C7'), loss];
}
