/** Whether the target can take what the source has: versions, databases, modules, large keys (facts/redis-aws 4.1 S2, S8, S12). */
import { CannotCheck, pass, unmet, warn, type Finding } from '../../preflight/check.ts';
import { connectRedis } from '../connect.ts';
import { redisCli } from './commands.ts';
import { checkBigKeys, checkModules } from './copy-checks.ts';
import { keysByDatabase, type RedisProbe } from './probe.ts';
import type { ScanCheck, ScanContext } from './scan-context.ts';
import { everyPrimary } from './scan-nodes.ts';
import { setCommand } from './scan-settings.ts';
import { whyNotRestore } from './scan-versions.ts';
import { unknownCommands } from './source-access-checks.ts';
import { atLeast } from './versions.ts';

/** Without these nothing is copied and nothing is fenced. Others depend on the version, and are tried. */
const NEEDED = {
  source: 'info config scan type dump client psubscribe publish set get del'.split(' '),
  target: 'info scan restore unlink client set get del hset hget rpush blpop multi exec'.split(' '),
};

export const dataChecks: readonly ScanCheck[] = [
  ...(['source', 'target'] as const).map((side) =>
    everyPrimary(side, {
      id: side === 'source' ? 'S7' : 'T.commands',
      title: `the commands that the copy needs are not renamed on the ${side}`,
      severity: 'fail',
      remedy: () => `remove their rename-command lines from redis.conf on the ${side}, and restart it`,
      byHand: ({ endpoint }) => redisCli(endpoint, 'COMMAND', 'INFO', ...NEEDED[side]),
      run: async ({ probe }) => {
        const gone = await unknownCommands(probe, NEEDED[side]);
        return gone.length === 0
          ? pass(`${NEEDED[side].length} commands are known by their names`)
          : unmet(`renamed or disabled: ${gone.join(', ')}`);
      },
    }),
  ),
  everyPrimary('target', {
    id: 'T2',
    title: "the target's engine is 5.0.5 or newer, or Valkey",
    severity: 'fail',
    remedy: () => 'use a target of a supported version',
    byHand: ({ endpoint }) => `${redisCli(endpoint, 'INFO', 'server')}  # redis_version, valkey_version`,
    run: async ({ probe }) => {
      const version = await probe.version();
      return atLeast(version, 5, 0, 5) ? pass(version.text) : unmet(`the target is ${version.text}`);
    },
  }),
  everyPrimary('source', {
    id: 'S2',
    title: 'the target restores what the source dumps',
    severity: 'fail',
    remedy: () => 'set copy: { olderTarget: rebuild } in the file, which is slower, or choose a newer target',
    byHand: ({ endpoint }, c) =>
      `${redisCli(endpoint, 'INFO', 'server')}; ${redisCli(c.target.entry.endpoint, 'INFO', 'server')}`,
    run: async ({ probe }, c) => {
      const source = await probe.version();
      const targets = await Promise.all((await c.target.nodes()).map((node) => node.probe.version()));
      const found = `${source.text} to ${[...new Set(targets.map(({ text }) => text))].join(', ')}`;
      const why = targets.map((target) => whyNotRestore(source, target)).find((one) => one !== undefined);
      if (why === undefined) return pass(found);
      return c.migration.copy.olderTarget === 'rebuild'
        ? warn(`${found}: ${why}; every such key is rebuilt`)
        : unmet(why);
    },
  }),
  {
    id: 'S8.keys',
    title: 'every database in use exists on the target',
    severity: 'fail',
    cheap: true,
    remedy: (c) => `raise \`databases\` on the target ${c.target.entry.where}, and restart it`,
    byHand: (c) =>
      `${redisCli(c.source.entry.endpoint, 'INFO', 'keyspace')}; ${redisCli(c.target.entry.endpoint, 'CONFIG', 'GET', 'databases')}`,
    run: checkDatabases,
  },
  everyPrimary('source', {
    id: 'S12.modules',
    title: 'the source has no modules that the target lacks',
    severity: 'fail',
    remedy: () =>
      'load the same modules on the target, or move the keys of module types by other means and delete them first',
    byHand: ({ endpoint }) => `${redisCli(endpoint, 'MODULE', 'LIST')}  # empty`,
    run: ({ probe }, c) => checkModules(probe, c.target.entry),
  }),
  everyPrimary('source', {
    id: 'S12.big-keys',
    title: 'no value is so big that following it takes long',
    severity: 'warn',
    remedy: ({ endpoint }) => redisCli(endpoint, '--memkeys'),
    byHand: ({ endpoint }) => redisCli(endpoint, '--memkeys'),
    run: async ({ probe }) => {
      const finding = await checkBigKeys(probe);
      return finding.result === 'unmet'
        ? { ...finding, found: `${finding.found}: each time that it is touched, all of it is copied again` }
        : finding;
    },
  }),
  {
    id: 'T.clock',
    title: 'the clocks of source and target agree',
    severity: 'warn',
    remedy: () => 'set both machines by NTP (chronyc makestep): the time at which a key expires is copied as it is',
    byHand: (c) =>
      `${redisCli(c.source.entry.endpoint, 'TIME')}; ${redisCli(c.target.entry.endpoint, 'TIME')}  # seconds, microseconds`,
    run: async (c) => {
      const [source, target] = await Promise.all([clockOf(c.source.entry), clockOf(c.target.entry)]);
      // Each was read within its own round trip: no less can be told apart.
      const apart = Math.max(0, Math.abs(source.aheadMs - target.aheadMs) - source.tripMs - target.tripMs);
      const found = `${Math.round(apart)} ms apart`;
      return apart > c.migration.compare.ttlTolerance ? unmet(found) : pass(found);
    },
  },
];

async function checkDatabases(c: ScanContext): Promise<Finding> {
  const { databases: asked } = c.migration.copy;
  const used = new Map<number, number>();
  for (const { probe } of await c.source.nodes()) {
    for (const [db, keys] of keysByDatabase(await probe.info())) used.set(db, (used.get(db) ?? 0) + keys);
  }
  const left = [...used.keys()].filter((db) => asked && !asked.includes(db));
  const copied = [...used.keys()].filter((db) => !left.includes(db)).toSorted((a, b) => a - b);
  const highest = Math.max(0, ...copied);
  for (const { probe } of await c.target.nodes()) {
    const refusal = highest === 0 ? undefined : await selectRefused(probe, highest, c.migration.id);
    if (refusal === undefined) continue;
    const cluster = (await c.target.topology()).cluster;
    return unmet(
      `${copied.map((db) => `db${db} (${used.get(db)} keys)`).join(', ')} on the source; the target ${probe.where} has no db${highest}: ${refusal}`,
      cluster
        ? 'a cluster has database 0: choose a target without cluster mode, or move the keys of the others first, or leave them out with copy: { databases: [0] }'
        : await setCommand(c, probe, 'databases', String(highest + 1)),
    );
  }
  if (left.length > 0) {
    return warn(
      `not copied, as the file says: ${left.map((db) => `db${db} (${used.get(db)} keys)`).join(', ')}`,
      'name them in copy.databases as well, or leave that out of the file',
    );
  }
  return pass(`${copied.length} in use`);
}

/** On a connection of its own: every other check is in database 0. @returns what the server said */
async function selectRefused(probe: RedisProbe, db: number, migrationId: string): Promise<string | undefined> {
  await probe.info();
  const redis = await connectRedis(probe.endpoint, { name: `cutover:${migrationId}:preflight` });
  try {
    await redis.select(db);
    return undefined;
  } catch (error) {
    const said = error instanceof Error ? error.message : String(error);
    if (/out of range|not allowed in cluster/i.test(said)) return said;
    throw new CannotCheck(`SELECT ${db} on ${probe.where}: ${said}`);
  } finally {
    redis.disconnect();
  }
}

async function clockOf(probe: RedisProbe): Promise<{ aheadMs: number; tripMs: number }> {
  await probe.info();
  const began = performance.now();
  const before = Date.now();
  const answer = await probe.callAgain('TIME');
  const tripMs = performance.now() - began;
  if (!Array.isArray(answer)) throw new CannotCheck(`TIME on ${probe.where} is no list`);
  return { aheadMs: Number(answer[0]) * 1000 + Number(answer[1]) / 1000 - before, tripMs };
}
