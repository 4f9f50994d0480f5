/** The way from the target to the source, and from the application to the target (facts/redis-aws 4.1 S4, S5, N1–N3). */
import { ErrorType } from '../../../spec/errors.ts';
import { withRedis } from '../connect.ts';
import { parseInfo } from '../replication.ts';
import { addressesOf, reachOf } from './addresses.ts';
import { CannotCheck, pass, unknown, unmet, warn, type Finding } from '../../preflight/check.ts';
import { awsElastiCache, redisCli } from './commands.ts';
import { followsOurSource, type RedisOnlineCheck, type RedisOnlineContext } from './context.ts';
import { failureOf } from './reachable.ts';
import { atLeast } from './versions.ts';

const cli = ({ source }: RedisOnlineContext, ...command: string[]) => redisCli(source.endpoint, ...command);

export const networkChecks: readonly RedisOnlineCheck[] = [
  {
    id: 'S4',
    title: 'protected-mode lets the target in',
    severity: 'fail',
    remedy: (c) => cli(c, 'CONFIG', 'SET', 'protected-mode', 'no'),
    byHand: (c) => `${cli(c, 'CONFIG', 'GET', 'protected-mode')}  # no`,
    run: async (c) => {
      const mode = await c.source.setting('protected-mode');
      if (mode === undefined) return pass('this version of the source has no protected-mode');
      if (mode === 'no') return pass('protected-mode no');
      if (c.migration.engine === 'elasticache') return unmet('protected-mode yes');
      // Elsewhere it only keeps out who brings no password from another machine.
      if (c.migration.source.password) return pass('protected-mode yes, but the default user has a password');
      const local = (await addressesOf(c.replication.host)).every((ip) => reachOf(ip) === 'loopback');
      return local
        ? pass('protected-mode yes, but the target comes from the same machine')
        : unmet(`protected-mode yes, and the target comes to ${c.replication.host} without a password`);
    },
  },
  {
    id: 'S5',
    title: 'the source listens where the target comes in',
    severity: 'fail',
    remedy: (c) => cli(c, 'CONFIG', 'SET', 'bind', `127.0.0.1 ${c.replication.host}`),
    byHand: (c) => `${cli(c, 'CONFIG', 'GET', 'bind')}  # names ${c.replication.host}, * or nothing`,
    run: checkBind,
  },
  {
    id: 'N1',
    title: "the target's nodes reach the source",
    severity: 'fail',
    remedy: (c) =>
      `open the source's port ${c.replication.port} to the target's nodes (security group, routes both ways)`,
    byHand: reachByHand,
    run: async (c) => {
      const { host, port } = c.replication;
      const target = await c.target.info().catch(() => undefined);
      if (target?.['master_link_status'] === 'up' && (await followsOurSource(c))) {
        return pass('the target replicates from the source, its link is up');
      }
      const tried =
        c.migration.engine === 'elasticache' && c.migration.testMigration
          ? '; the step TestMigration tries it next'
          : '';
      return unknown(`whether the target's nodes reach ${host}:${port} can't be seen from the worker${tried}`);
    },
  },
  {
    id: 'N2',
    title: 'the address the target is given is one it can reach',
    severity: 'warn',
    remedy: () => "set source.replicationAddress in the file to the source's private IP address, exactly",
    byHand: (c) => `on a machine in the target's network: getent hosts ${c.replication.host}`,
    run: checkAddress,
  },
  {
    id: 'N2.same',
    title: 'the address the target is given leads to the source itself',
    severity: 'fail',
    remedy: () => "set source.replicationAddress in the file to the source's own address and port",
    byHand: (c) =>
      `on a machine in the target's network: redis-cli -h ${c.replication.host} -p ${c.replication.port} INFO server  # the run_id of the source`,
    run: checkSameServer,
  },
  {
    id: 'N3',
    title: 'the application reaches the target',
    severity: 'fail',
    remedy: (c) => `open port ${c.target.endpoint.port} of ${c.target.endpoint.host} to the application`,
    byHand: (c) => `on each of the application's hosts: ${redisCli(c.target.endpoint, 'PING')}`,
    run: async (c) => unknown(`whether the application reaches ${c.target.where} can't be seen from the worker`),
  },
];

function reachByHand(c: RedisOnlineContext): string {
  const { host, port } = c.replication;
  if (c.migration.engine === 'replicaof') {
    return `on the target's machine: ${redisCli({ ...c.source.endpoint, host, port }, 'PING')}`;
  }
  const { region } = c.migration.aws;
  const id = c.migration.target.replicationGroup;
  const test = awsElastiCache(
    region,
    'test-migration',
    '--replication-group-id',
    id,
    '--customer-node-endpoint-list',
    `Address=${host},Port=${port}`,
  );
  return `${test} && sleep 60 && ${eventsCommand(region, id)}`;
}

function eventsCommand(region: string | undefined, id: string): string {
  return awsElastiCache(region, 'describe-events', '--source-type', 'replication-group', '--source-identifier', id);
}

async function checkBind(c: RedisOnlineContext): Promise<Finding> {
  const bind = (await c.source.setting('bind')) ?? '';
  const bound = bind.split(/\s+/).map((address) => address.replace(/^-/, ''));
  if (bind.trim() === '' || bound.some((address) => address === '*' || address === '0.0.0.0')) {
    return pass(bind.trim() === '' ? 'bind is not set: every address' : `bind ${bind}`);
  }
  const { host } = c.replication;
  const wanted = await addressesOf(host);
  if (wanted.some((ip) => bound.includes(ip)) || bound.includes(host)) return pass(`bind ${bind}, with ${host} in it`);
  const found = `bind ${bind}, and the target comes to ${host}`;
  if (bound.every((address) => address === 'localhost' || reachOf(address) === 'loopback')) {
    return atLeast(await c.source.version(), 6, 2)
      ? unmet(found)
      : unmet(
          found,
          `bind 127.0.0.1 ${host}  # in the source's redis.conf, and restart it: before 6.2 it can't be set at run time`,
        );
  }
  return warn(`${found}: right only where that address is mapped to one of these`);
}

async function checkAddress(c: RedisOnlineContext): Promise<Finding> {
  const { host } = c.replication;
  const addresses = await addressesOf(host);
  const named = addresses.includes(host) ? host : `${host} (${addresses.join(', ')})`;
  const reaches = new Set(addresses.map(reachOf));
  if (reaches.has('any')) return unmet(`${named} is no address of one machine`);
  if (reaches.has('loopback')) {
    const targetToo = c.migration.engine === 'replicaof' && (await isLoopback(c.migration.target.host));
    return targetToo
      ? pass(`${named}, the target's own machine`)
      : unmet(`${named} is a loopback address: to the target's nodes it means themselves`);
  }
  if (addresses.length > 1) return unmet(`${named} is several addresses; the target picks any of them`);
  if (reaches.has('public')) {
    return unmet(
      `${named} is a public address; replication would cross the internet${c.migration.source.tls ? '' : ' in the clear'}`,
    );
  }
  return pass(`${named} is a private address`);
}

async function isLoopback(host: string): Promise<boolean> {
  return (await addressesOf(host).catch(() => [])).some((ip) => reachOf(ip) === 'loopback');
}

/** A wrong address that happens to be a Redis would be copied without a complaint. */
async function checkSameServer(c: RedisOnlineContext): Promise<Finding> {
  const { endpoint } = c.source;
  const { host, port } = c.replication;
  const runId = (await c.source.info())['run_id'];
  if (host === endpoint.host && port === endpoint.port) return pass(`${host}:${port}, as the worker reaches it`);
  const { password, username, tls } = endpoint;
  const there = {
    host,
    port,
    tls: c.migration.engine === 'replicaof' && tls,
    ...(password ? { password } : {}),
    ...(username ? { username } : {}),
  };
  try {
    const info = await withRedis(there, { name: 'cutover:preflight' }, async (redis) =>
      parseInfo(await redis.info('server')),
    );
    return info['run_id'] === runId
      ? pass(`${host}:${port} is the source: the same run_id`)
      : unmet(
          `${host}:${port} is another server than the source ${c.source.where}: run_id ${info['run_id']}, not ${runId}`,
        );
  } catch (error) {
    const { type, message } = failureOf(error);
    if (type !== ErrorType.unreachable) throw error;
    throw new CannotCheck(`the worker can't reach it, which the target may: ${message}`);
  }
}
