/** What a dual write needs of both servers. Checks change nothing. */
import prettyBytes from 'pretty-bytes';
import { CannotCheck, pass, unmet, warn, type Finding } from '../../preflight/check.ts';
import { redisCli } from '../preflight/commands.ts';
import { userOf } from '../preflight/context.ts';
import { refusedCommands, ruleFor } from '../preflight/permissions.ts';
import { infoNumber, keysByDatabase, type RedisProbe } from '../preflight/probe.ts';
import { reachable } from '../preflight/reachable.ts';
import { CopyError } from '../copy/types.ts';
import { whyNotFollow } from '../preflight/versions.ts';
import type { DualCheck, DualContext } from './check-context.ts';
import { memoKey } from './memo.ts';

const cli = (probe: RedisProbe, ...command: string[]) => redisCli(probe.endpoint, ...command);
const bytes = (n: number) => prettyBytes(n, { binary: true });

/** What the worker's user runs on either side: the copy, the compare, the journal. */
const COMMANDS = [
  ['DUMP', 'k'],
  ['RESTORE', 'k', '0', 'v', 'REPLACE'],
  ['SCAN', '0'],
  ['EVAL', 'return 1', '0'],
  ['UNLINK', 'k'],
  ['RENAME', 'k', 'l'],
  ['ZRANGEBYSCORE', 'k', '-inf', '+inf'],
  ['ZADD', 'k', '1', 'm'],
  ['CLIENT', 'LIST'],
  ['CLIENT', 'KILL', 'ID', '1'],
];
/** And where the control key is. */
const CONTROL_COMMANDS = [
  ['HGETALL', 'k'],
  ['HSET', 'k', 'f', 'v'],
  ['SET', 'k', 'v'],
];

function perSide(side: 'source' | 'target'): DualCheck[] {
  const letter = side === 'source' ? 'S' : 'T';
  const probe = (c: DualContext) => c[side];
  return [
    {
      id: `${letter}0`,
      title: `the ${side} can be reached with the credentials in the file`,
      severity: 'fail',
      cheap: true,
      remedy: (c) => `look from the worker: ${cli(probe(c), 'PING')}`,
      byHand: (c) => cli(probe(c), 'PING'),
      run: (c) => reachable(probe(c)),
    },
    {
      id: `${letter}1`,
      title: `the ${side} is a primary`,
      severity: 'fail',
      cheap: true,
      remedy: () => `name the primary in ${side}.host and ${side}.port`,
      byHand: (c) => cli(probe(c), 'ROLE'),
      run: async (c) => {
        const { role } = await probe(c).info();
        if (role === undefined) throw new CannotCheck('INFO has no role');
        return role === 'master' ? pass('role:master') : unmet(`role:${role}`);
      },
    },
    {
      id: `${letter}.slots`,
      title: `every slot of the ${side} is served, and none is moving`,
      severity: 'fail',
      cheap: true,
      remedy: () => 'redis-cli --cluster check; let a resharding end before the migration',
      byHand: (c) => `${cli(probe(c), 'CLUSTER', 'INFO')}; ${cli(probe(c), 'CLUSTER', 'NODES')}`,
      run: async (c) => {
        try {
          const { length } = await c.nodes[side].all();
          return pass(length === 1 ? 'one server' : `${length} primaries serve all slots`);
        } catch (error) {
          if (error instanceof CopyError) return unmet(error.message.replace(/^copy: /, ''), error.remedy);
          throw error;
        }
      },
    },
    {
      id: `${letter}12.eviction`,
      title: `the ${side} does not evict keys by itself`,
      severity: 'fail',
      remedy: (c) => cli(probe(c), 'CONFIG', 'SET', 'maxmemory-policy', 'noeviction'),
      byHand: (c) => cli(probe(c), 'CONFIG', 'GET', 'maxmemory*'),
      run: async (c) => worst(await Promise.all((await c.nodes[side].all()).map(checkEviction))),
    },
    {
      id: `${letter}C`,
      title: `our user may do on the ${side} what a dual write needs`,
      severity: 'fail',
      remedy: (c) => cli(probe(c), 'ACL', 'SETUSER', userOf(probe(c).endpoint), '+@all', '~*'),
      byHand: (c) => `as an administrator: ${cli(probe(c), 'ACL', 'DRYRUN', userOf(probe(c).endpoint), 'DUMP', 'k')}`,
      run: async (c) => {
        const user = userOf(probe(c).endpoint);
        const asked = side === 'source' ? [...COMMANDS, ...CONTROL_COMMANDS] : COMMANDS;
        const refused = await refusedCommands(probe(c), user, asked);
        return refused.length === 0
          ? pass(`user ${user} may`)
          : unmet(
              `user ${user} may not run ${refused.join(', ')}`,
              cli(probe(c), 'ACL', 'SETUSER', user, ...refused.map(ruleFor)),
            );
      },
    },
  ];
}

export const serverChecks: readonly DualCheck[] = [
  ...perSide('source'),
  ...perSide('target'),
  {
    id: 'T12',
    title: 'the target is not the source itself',
    severity: 'fail',
    remedy: () => "set target.host and target.port in the file to the new server's",
    byHand: (c) => `${cli(c.target, 'INFO', 'server')}  # another run_id than the source's`,
    run: async (c) => {
      const [source, target] = await Promise.all([c.source.info(), c.target.info()]);
      if (!source['run_id'] || !target['run_id']) throw new CannotCheck('INFO has no run_id');
      return source['run_id'] === target['run_id'] ? unmet('one server: the same run_id') : pass('two servers');
    },
  },
  {
    id: 'T.version',
    title: 'the target understands DUMP of the source',
    severity: 'fail',
    remedy: () => 'choose a newer target, or set backfill.olderTarget: rebuild, which is slower',
    byHand: (c) => `${cli(c.source, 'INFO', 'server')}; ${cli(c.target, 'INFO', 'server')}`,
    run: async (c) => {
      const [source, target] = await Promise.all([c.source.version(), c.target.version()]);
      const why = whyNotFollow(source, target);
      const found = `${source.text} to ${target.text}`;
      if (why === undefined) return pass(found);
      return c.migration.backfill.olderTarget === 'rebuild'
        ? warn(`${found}: every key is rebuilt`)
        : unmet(`${found}: ${why}`);
    },
  },
  {
    id: 'T.databases',
    title: 'every database in use exists on the target',
    severity: 'fail',
    cheap: true,
    remedy: () =>
      'raise `databases` on the target and restart it; a cluster has one: move the keys of the others first',
    byHand: (c) => `${cli(c.source, 'INFO', 'keyspace')}; ${cli(c.target, 'CONFIG', 'GET', 'databases')}`,
    run: checkDatabases,
  },
  {
    id: 'T.memory',
    title: 'the target has memory for all of it',
    severity: 'fail',
    remedy: (c) =>
      `choose a larger target, or raise its limit: ${cli(c.target, 'CONFIG', 'SET', 'maxmemory', '<bytes>')}`,
    byHand: (c) => `${cli(c.source, 'INFO', 'memory')}; ${cli(c.target, 'INFO', 'memory')}`,
    run: async (c) => {
      const [here, there] = await Promise.all([c.nodes.source.all(), c.nodes.target.all()]);
      const used = sum(await numbersOf(here, 'used_memory'));
      const limits = await numbersOf(there, 'maxmemory');
      if (limits.includes(0)) return pass(`${bytes(used)} on the source; the target has no maxmemory`);
      const limit = sum(limits);
      const found = `${bytes(used)} on the source, maxmemory ${bytes(limit)} on the target`;
      return limit > used ? pass(found) : unmet(found);
    },
  },
  {
    id: 'T.empty',
    title: 'the target is empty, or what it has is ours',
    severity: 'fail',
    remedy: () => 'empty it (FLUSHALL), or set allowNonEmptyTarget: true: what the source lacks is deleted there',
    byHand: (c) => cli(c.target, 'INFO', 'keyspace'),
    run: async (c) => {
      const keys = new Map<number, number>();
      for (const node of await c.nodes.target.all()) {
        for (const [db, count] of keysByDatabase(await node.info())) keys.set(db, (keys.get(db) ?? 0) + count);
      }
      if (keys.size === 0) return pass('no keys');
      const found = [...keys].map(([db, count]) => `${count} in db${db}`).join(', ');
      if (c.migration.allowNonEmptyTarget) return warn(`${found}: what the source lacks is deleted`);
      const memo = await (await c.nodes.source.holding(memoKey(c.migration.id))).call('GET', memoKey(c.migration.id));
      return memo === null ? unmet(found) : pass(`${found}, by an earlier run of this migration`);
    },
  },
];

async function checkEviction(node: RedisProbe): Promise<Finding> {
  const info = await node.info();
  const policy = info['maxmemory_policy'];
  if (policy === undefined) throw new CannotCheck('INFO has no maxmemory_policy');
  const limit = infoNumber(info, 'maxmemory');
  if (policy === 'noeviction' || limit === 0) return pass(`${policy}, maxmemory ${limit}`);
  const found = `${policy} at ${bytes(limit)} (${node.where})`;
  return policy.startsWith('allkeys')
    ? unmet(`${found}: it may evict the journal of touched keys, and what was in it would be lost`)
    : warn(`${found}: evicted keys differ until the next compare`);
}

/** Of several nodes' findings, the one to act on. */
const worst = (findings: readonly Finding[]): Finding =>
  findings.find(({ result }) => result === 'unmet') ?? findings.find(({ result }) => result === 'warn') ?? findings[0]!;

const sum = (numbers: readonly number[]) => numbers.reduce((all, one) => all + one, 0);
const numbersOf = (nodes: readonly RedisProbe[], field: string) =>
  Promise.all(nodes.map(async (node) => infoNumber(await node.info(), field)));

async function checkDatabases(c: DualContext): Promise<Finding> {
  const used = [...keysByDatabase(await c.source.info()).keys()];
  if ((await c.target.info())['cluster_enabled'] === '1') {
    const beyond = used.filter((db) => db !== 0);
    return beyond.length === 0
      ? pass('database 0 alone')
      : unmet(`databases ${beyond.join(', ')} are in use; a cluster has one`);
  }
  const databases = await c.target.setting('databases');
  if (databases === undefined) throw new CannotCheck('the target does not say how many databases it has');
  const beyond = used.filter((db) => db >= Number(databases));
  const found = `${used.length} in use, the target has ${databases}`;
  return beyond.length === 0 ? pass(found) : unmet(`${found}; beyond them: ${beyond.join(', ')}`);
}
