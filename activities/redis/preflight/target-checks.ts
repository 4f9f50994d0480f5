/** A Redis or Valkey target of `engine: replicaof` (facts/redis-aws 4.1, T rows, as they apply to a server of one's own). */
import { CannotCheck, pass, unmet, type Check, type Finding } from '../../preflight/check.ts';
import { strangersOf } from './clients.ts';
import { redisCli } from './commands.ts';
import { isReplicaOf, userOf, type RedisOnlineCheck, type RedisOnlineContext } from './context.ts';
import { refusalsOf, ruleFor } from './permissions.ts';
import { infoNumber, listOf } from './probe.ts';
import { reachable } from './reachable.ts';

export type BothServers = Pick<RedisOnlineContext, 'source' | 'target'>;

const cli = ({ target }: BothServers, ...command: string[]) => redisCli(target.endpoint, ...command);

export const keepsData: Check<BothServers> = {
  id: 'T15',
  title: 'the target keeps data on disk as the source does',
  severity: 'warn',
  remedy: (c) => cli(c, 'CONFIG', 'SET', 'appendonly', 'yes'),
  byHand: (c) => `${cli(c, 'CONFIG', 'GET', 'save')}; ${cli(c, 'CONFIG', 'GET', 'appendonly')}`,
  run: checkPersistence,
};

export const takesClients: Check<BothServers> = {
  id: 'T16',
  title: 'the target can take as many clients as the source has',
  severity: 'warn',
  remedy: (c) => cli(c, 'CONFIG', 'SET', 'maxclients', '10000'),
  byHand: (c) => `${cli(c, 'CONFIG', 'GET', 'maxclients')}  # above the source's connected_clients`,
  run: async (c) => {
    const clients = infoNumber(await c.source.info(), 'connected_clients');
    const most = Number((await c.target.setting('maxclients')) ?? Number.NaN);
    if (Number.isNaN(most)) throw new CannotCheck('the target does not say its maxclients');
    const found = `${clients} clients on the source, maxclients ${most} on the target`;
    return most > clients ? pass(found) : unmet(found, cli(c, 'CONFIG', 'SET', 'maxclients', String(clients * 2)));
  },
};

export const targetChecks: readonly RedisOnlineCheck[] = [
  {
    id: 'T0',
    title: 'the target can be reached with the credentials in the file',
    severity: 'fail',
    cheap: true,
    remedy: (c) => `look from the worker: ${cli(c, 'PING')}`,
    byHand: (c) => cli(c, 'PING'),
    run: (c) => reachable(c.target),
  },
  {
    id: 'T1',
    title: 'the target is up, not loading',
    severity: 'fail',
    cheap: true,
    remedy: (c) => `wait until it has loaded: ${cli(c, 'INFO', 'persistence')}  # loading:0`,
    byHand: (c) => `${cli(c, 'INFO', 'persistence')}  # loading:0`,
    run: async (c) => {
      const info = await c.target.info();
      if (info['loading'] === undefined) throw new CannotCheck('INFO has no loading');
      return info['loading'] === '0' ? pass('loading:0') : unmet(`loading:${info['loading']}`);
    },
  },
  {
    id: 'T6',
    title: 'cluster mode is off on the target',
    severity: 'fail',
    remedy: () =>
      'set cluster-enabled no in redis.conf on the target, and restart it: a cluster node refuses REPLICAOF',
    byHand: (c) => `${cli(c, 'INFO', 'cluster')}  # cluster_enabled:0`,
    run: async (c) =>
      infoNumber(await c.target.info(), 'cluster_enabled') === 0
        ? pass('cluster_enabled:0')
        : unmet('cluster_enabled:1'),
  },
  {
    id: 'T11',
    title: "the target's role is the one it needs now",
    severity: 'fail',
    cheap: true,
    remedy: (c) => cli(c, 'REPLICAOF', 'NO', 'ONE'),
    byHand: (c) => cli(c, 'ROLE'),
    run: checkRole,
  },
  {
    id: 'T12',
    title: 'the target is not the source itself',
    severity: 'fail',
    remedy: () => "set target.host and target.port in the file to the new server's",
    byHand: (c) => `${cli(c, 'INFO', 'server')}  # another run_id than the source's`,
    run: async (c) => {
      const [source, target] = await Promise.all([c.source.info(), c.target.info()]);
      const runId = target['run_id'];
      if (!runId || !source['run_id']) throw new CannotCheck('INFO has no run_id');
      return runId === source['run_id']
        ? unmet(`source ${c.source.where} and target ${c.target.where} are one server: run_id ${runId}`)
        : pass('two servers: run_ids differ');
    },
  },
  {
    id: 'T13',
    title: 'nobody else uses the target yet',
    severity: 'warn',
    remedy: (c) => `see who they are, and stop them: ${cli(c, 'CLIENT', 'LIST')}`,
    byHand: (c) => cli(c, 'CLIENT', 'LIST'),
    run: async (c) => {
      const others = await strangersOf(c.target);
      const named = others.slice(0, 3).map(({ addr, name }) => (name ? `${addr} (${name})` : addr));
      return others.length === 0
        ? pass('no connections but ours')
        : unmet(`${others.length} connections of others: ${named.join(', ')}${others.length > 3 ? ', …' : ''}`);
    },
  },
  {
    id: 'T14',
    title: 'as a replica, the target refuses writes',
    severity: 'fail',
    cheap: true,
    remedy: (c) => cli(c, 'CONFIG', 'SET', 'replica-read-only', 'yes'),
    byHand: (c) => `${cli(c, 'CONFIG', 'GET', 'replica-read-only')}  # yes`,
    run: async (c) => {
      // Valkey and Redis 5+ say both names; the older one alone is not asked, as targets begin at 5.0.5.
      const readOnly = await c.target.setting('replica-read-only');
      if (readOnly === undefined) throw new CannotCheck('the target has no replica-read-only');
      return readOnly === 'yes'
        ? pass('replica-read-only yes')
        : unmet(
            `replica-read-only ${readOnly}: what is written there before the switch differs from the source, unseen`,
          );
    },
  },
  keepsData,
  takesClients,
  {
    id: 'C8',
    title: 'our user may attach and promote the target',
    severity: 'fail',
    cheap: true,
    remedy: (c) => cli(c, 'ACL', 'SETUSER', userOf(c.target.endpoint), '+replicaof', '+config|set'),
    byHand: (c) =>
      `as an administrator: ${cli(c, 'ACL', 'DRYRUN', userOf(c.target.endpoint), 'REPLICAOF', 'NO', 'ONE')}`,
    run: checkAttachPermission,
  },
];

async function checkRole(c: RedisOnlineContext): Promise<Finding> {
  const [target, source] = await Promise.all([c.target.info(), c.source.info()]);
  const master = `${target['master_host']}:${target['master_port']}`;
  const link = target['master_link_status'];
  const ours = isReplicaOf(target, c.replication, source);
  const attachAgain = 'abort, and start again: the target has to be attached first';
  if (target['role'] === 'slave' && !ours) {
    return unmet(`the target is a replica of ${master}, which is not the source`);
  }
  if (c.moment === 'before-attach') {
    return pass(ours ? `a replica of the source already, link ${link}: adopted` : `role: ${target['role']}`);
  }
  if (!ours) return unmet(`the target is a primary, and does not follow the source`, attachAgain);
  if (link !== 'up') {
    return unmet(
      `a replica of the source, but its link is ${link}`,
      `wait until it is up: ${cli(c, 'INFO', 'replication')}`,
    );
  }
  // One side alone says "up" too early (facts/redis-aws 4.2 a); the history must be one as well.
  return target['master_replid'] === source['master_replid']
    ? pass('a replica of the source, link up')
    : unmet(
        'a replica of the source, but of another history (master_replid)',
        `wait until it has synced: ${cli(c, 'ROLE')}`,
      );
}

async function checkPersistence(c: BothServers): Promise<Finding> {
  const names = ['save', 'appendonly'] as const;
  const [source, target] = await Promise.all(
    [c.source, c.target].map(async (probe) => {
      const [save, appendonly] = await Promise.all(names.map((name) => probe.setting(name)));
      if (save === undefined || appendonly === undefined)
        throw new CannotCheck('a side does not say how it keeps data');
      return { keeps: save !== '' || appendonly === 'yes', text: `save "${save}", appendonly ${appendonly}` };
    }),
  );
  const found = `source: ${source!.text}; target: ${target!.text}`;
  return source!.keeps && !target!.keeps
    ? unmet(`${found}: a restart of the target would lose everything`)
    : pass(found);
}

/** Everything that attach-replicaof.ts, switch-over.ts and canary.ts send to the target. */
async function checkAttachPermission(c: RedisOnlineContext): Promise<Finding> {
  const { migration } = c;
  const user = userOf(c.target.endpoint);
  const canary = `cutover:canary:${migration.id}`;
  const commands = [
    ['REPLICAOF', 'NO', 'ONE'],
    ['ROLE'],
    ['CLIENT', 'LIST'],
    ['CLIENT', 'KILL', 'ID', '1'],
    ['SET', canary, '1'],
    ['DEL', canary],
    ...(migration.source.password ? [['CONFIG', 'SET', 'masterauth', '']] : []),
    ...(migration.source.tls ? [['CONFIG', 'SET', 'tls-replication', 'yes']] : []),
    ...(migration.abort.removePartialData ? [['FLUSHALL']] : []),
  ];
  const [known] = listOf(await c.target.call('COMMAND', 'INFO', 'replicaof'));
  if (!known) {
    return unmet(
      'REPLICAOF is renamed or disabled on the target',
      'remove its rename-command line from redis.conf on the target, and restart it',
    );
  }
  const refused = await refusalsOf(c.target, user, commands);
  if (refused.commands.length > 0) {
    const rules = [...refused.commands.map(ruleFor), ...(refused.keys ? ['~cutover:*'] : [])];
    return unmet(`the user ${user} may not ${refused.commands.join(', ')}`, cli(c, 'ACL', 'SETUSER', user, ...rules));
  }
  return pass(`the user ${user} may REPLICAOF, and all else that the cutover sends`);
}
