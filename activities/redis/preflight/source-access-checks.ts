/** The source: what it is, and whether the target may replicate from it (facts/redis-aws 4.1 S0–S7, S11, T6). */
import { ErrorType } from '../../../spec/errors.ts';
import { connectRedis } from '../connect.ts';
import { CannotCheck, pass, unmet, warn, type Finding } from '../../preflight/check.ts';
import { redisCli } from './commands.ts';
import { replicationUser, type RedisOnlineCheck, type RedisOnlineContext } from './context.ts';
import { refusedCommands, ruleFor } from './permissions.ts';
import { findPrimary } from './primary.ts';
import { infoNumber, listOf, type RedisProbe } from './probe.ts';
import { failureOf, reachable } from './reachable.ts';
import { atLeast, whyNotFollow } from './versions.ts';

const cli = ({ source }: RedisOnlineContext, ...command: string[]) => redisCli(source.endpoint, ...command);
const toElastiCache = ({ migration }: RedisOnlineContext) => migration.engine === 'elasticache';

/** Commands that ElastiCache asks for by name, and those that any replica needs (facts/redis-aws 4.1 S7). */
const NEEDED = {
  elasticache: ['sync', 'psync', 'info', 'config', 'command', 'cluster'],
  replicaof: ['psync', 'replconf', 'ping', 'info', 'config'],
} as const;

/** Of Redis 5, the oldest target: any of them renamed on the source reaches the target under a name it doesn't know. */
const WRITES = (
  'append bitfield bitop decr decrby del expire expireat flushall flushdb geoadd getset hdel hincrby hincrbyfloat hmset ' +
  'hset hsetnx incr incrby incrbyfloat linsert lpop lpush lpushx lrem lset ltrim mset msetnx move persist pexpire ' +
  'pexpireat pfadd pfmerge psetex rename renamenx restore rpop rpoplpush rpush rpushx sadd sdiffstore select set setbit ' +
  'setex setnx setrange sinterstore smove spop srem sunionstore swapdb unlink xadd xack xclaim xdel xgroup xtrim zadd ' +
  'zincrby zinterstore zpopmax zpopmin zrem zremrangebylex zremrangebyrank zremrangebyscore zunionstore eval evalsha ' +
  'script multi exec'
).split(' ');

export const sourceAccessChecks: readonly RedisOnlineCheck[] = [
  {
    id: 'S0',
    title: 'the source can be reached with the credentials in the file',
    severity: 'fail',
    cheap: true,
    remedy: (c) => `look from the worker: ${cli(c, 'PING')}`,
    byHand: (c) => cli(c, 'PING'),
    run: (c) => reachable(c.source),
  },
  {
    id: 'S1',
    title: 'the source is a server of your own, not ElastiCache',
    severity: 'fail',
    remedy: () => 'of an ElastiCache source make a snapshot, and restore it: kind: elasticache-backup',
    byHand: (c) => `${cli(c, 'INFO', 'server')}  # os: is not "Amazon ElastiCache"`,
    run: async (c) => {
      const os = (await c.source.info())['os'] ?? 'unknown';
      return os.includes('ElastiCache')
        ? unmet(`the source is itself an ElastiCache node (os: ${os}); ElastiCache blocks the PSYNC that copies it`)
        : pass(`os: ${os}`);
    },
  },
  {
    id: 'S2',
    title: "the source's version can be followed by the target's",
    severity: 'fail',
    remedy: (c) =>
      toElastiCache(c)
        ? 'make the replication group with an engine at least as new as the source (Valkey 8 follows Redis up to 7.2)'
        : 'install a target at least as new as the source (Valkey 8 follows Redis up to 7.2)',
    byHand: (c) =>
      `${cli(c, 'INFO', 'server')}  # redis_version, valkey_version; the target's must be the same or newer`,
    run: async (c) => {
      const source = await c.source.version();
      if (!atLeast(source, 2, 8, 21))
        return unmet(`the source is ${source.text}; 2.8.21 is the oldest that can be followed`);
      const target = await c.targetVersion();
      const why = whyNotFollow(source, target);
      return why ? unmet(why) : pass(`${source.text}, target ${target.text}`);
    },
  },
  {
    id: 'S3',
    title: 'the target may log in at the source',
    severity: 'fail',
    remedy: (c) =>
      `${cli(c, 'CONFIG', 'SET', 'requirepass', '')}  # first close the source's port to all but the application and the target`,
    byHand: (c) =>
      `redis-cli -h ${c.source.endpoint.host} -p ${c.source.endpoint.port} PING  # without a password: PONG`,
    run: async (c) => {
      const { host, port, tls, password } = c.source.endpoint;
      if (!toElastiCache(c)) {
        await c.source.info();
        return pass(
          password ? 'AUTH is on; the target is given the same user and password (masterauth)' : 'AUTH is off',
        );
      }
      // ElastiCache can't be given a password, so what counts is how the source treats somebody who brings none.
      try {
        (await connectRedis({ host, port, tls }, { name: 'cutover:preflight' })).disconnect();
        return pass('AUTH is off: PING without a password is answered');
      } catch (error) {
        const failure = failureOf(error);
        if (failure.type !== ErrorType.denied || /protected mode/i.test(failure.message)) throw error;
        return unmet(`AUTH is on, and ElastiCache comes without a password: ${failure.message}`);
      }
    },
  },
  {
    id: 'S3.replication',
    title: 'the user the target replicates with may PSYNC',
    severity: 'fail',
    remedy: (c) => cli(c, 'ACL', 'SETUSER', replicationUser(c), '+psync', '+replconf', '+ping'),
    byHand: (c) => `${cli(c, 'ACL', 'DRYRUN', replicationUser(c), 'PSYNC', '?', '-1')}  # OK`,
    run: async (c) => {
      const user = replicationUser(c);
      const refused = await refusedCommands(c.source, user, [
        ['PSYNC', '?', '-1'],
        ['REPLCONF', 'CAPA', 'eof'],
        ['PING'],
      ]);
      return refused.length === 0
        ? pass(`the user ${user} may PSYNC, REPLCONF and PING`)
        : unmet(
            `the user ${user} may not ${refused.join(', ')}`,
            cli(c, 'ACL', 'SETUSER', user, ...refused.map(ruleFor)),
          );
    },
  },
  {
    id: 'S6',
    title: "the source's port speaks what the target does, TLS or not",
    severity: 'fail',
    remedy: (c) =>
      toElastiCache(c)
        ? `${cli(c, 'CONFIG', 'SET', 'port', '6379')}  # a port without TLS; name it in source.replicationAddress`
        : `name the port that source.tls speaks of in source.replicationAddress (${cli(c, 'CONFIG', 'GET', '*port')})`,
    byHand: (c) => `${cli(c, 'CONFIG', 'GET', 'tls-port')}  # is not ${c.replication.port}`,
    run: checkTls,
  },
  {
    id: 'S7',
    title: 'the commands that replication needs are not renamed',
    severity: 'fail',
    remedy: () => 'remove their rename-command lines from redis.conf on the source, and restart it',
    byHand: (c) =>
      `${cli(c, 'COMMAND', 'INFO', ...NEEDED[c.migration.engine])}  # each is known; grep rename-command redis.conf`,
    run: async (c) => {
      const needed = NEEDED[c.migration.engine];
      const gone = await unknownCommands(c.source, needed);
      return gone.length === 0
        ? pass(`${needed.join(', ')} are known by these names`)
        : unmet(`renamed or disabled on the source: ${gone.join(', ')}`);
    },
  },
  {
    id: 'S7.writes',
    title: 'no command that writes is renamed',
    severity: 'warn',
    remedy: () =>
      'grep rename-command redis.conf on the source: disabled (renamed to "") is harmless; renamed to another name breaks ' +
      'replication at its first use: remove the line, and restart',
    byHand: (c) => `${cli(c, 'COMMAND')}  # grep rename-command redis.conf on the source`,
    run: async (c) => {
      const gone = await unknownCommands(c.source, WRITES);
      // An old server lacks the newer ones: those it can't have renamed.
      const old = !atLeast(await c.source.version(), 5);
      const renamed = gone.filter((name) => !(old && /^(x|zpop|swapdb|unlink)/.test(name)));
      return renamed.length === 0
        ? pass(`${WRITES.length} commands that write are known by their names`)
        : unmet(`renamed or disabled on the source: ${renamed.join(', ')}`);
    },
  },
  {
    id: 'S11',
    title: 'the source is the primary itself',
    severity: 'fail',
    cheap: true,
    remedy: () => "set source.host and source.port in the file to the primary's: the fence must go there",
    byHand: (c) => `${cli(c, 'ROLE')}  # master`,
    run: (c) => checkPrimary(c.source),
  },
  {
    id: 'S11.cluster',
    title: 'cluster mode is off on the source',
    severity: 'fail',
    remedy: () =>
      'a cluster can’t be moved by redis-online: StartMigration and REPLICAOF here speak of one primary that has every key',
    byHand: (c) => `${cli(c, 'INFO', 'cluster')}  # cluster_enabled:0`,
    run: async (c) =>
      infoNumber(await c.source.info(), 'cluster_enabled') === 0
        ? pass('cluster_enabled:0')
        : unmet('cluster_enabled:1: the source is one shard of a cluster'),
  },
];

/** @throws CannotCheck */
export async function checkPrimary(source: RedisProbe): Promise<Finding> {
  const info = await source.info();
  if (info['role'] === 'master') return pass('role: master');
  if (info['role'] !== 'slave') throw new CannotCheck(`INFO says role: ${info['role'] ?? 'nothing'}`);
  const primary = await findPrimary(source.endpoint, info);
  const found = `the source is a replica of ${primary.chain.join(', a replica of ')}; a fence on it holds nothing back`;
  return unmet(found, `set source: { host: ${primary.host}, port: ${primary.port} } in the file`);
}

/** Those that the server does not know by these names: too old, disabled, or renamed. @throws CannotCheck */
export async function unknownCommands(source: RedisProbe, names: readonly string[]): Promise<string[]> {
  let known: unknown[];
  try {
    known = listOf(await source.call('COMMAND', 'INFO', ...names));
  } catch (error) {
    // COMMAND itself was renamed away, and it is one of those that ElastiCache asks for.
    if (error instanceof CannotCheck && /unknown command/i.test(error.message) && names.includes('command'))
      return ['command'];
    throw error;
  }
  return names.filter((_name, i) => known[i] === null || known[i] === undefined);
}

/** The target is told to use TLS where source.tls says so, and port and target must both be able to. */
async function checkTls(c: RedisOnlineContext): Promise<Finding> {
  const { endpoint } = c.source;
  const { port } = c.replication;
  const wanted = !toElastiCache(c) && Boolean(endpoint.tls);
  const spoken = await portSpeaksTls(c);
  const kind = (tls: boolean) => (tls ? 'with TLS' : 'without TLS');
  if (spoken === undefined) {
    return warn(
      `the source does not listen on ${port} itself: right only where it is mapped to a port ${kind(wanted)}`,
    );
  }
  if (spoken !== wanted) return unmet(`port ${port} is ${kind(spoken)}, and the target replicates ${kind(wanted)}`);
  if (toElastiCache(c)) return pass(`port ${port} is without TLS`);
  const replication = await c.target.setting('tls-replication');
  if (wanted && replication === undefined) return unmet(`the target ${c.target.where} was built without TLS`);
  if (!wanted && replication === 'yes') {
    return unmet(
      `port ${port} is without TLS, and the target has tls-replication yes`,
      redisCli(c.target.endpoint, 'CONFIG', 'SET', 'tls-replication', 'no'),
    );
  }
  return pass(`port ${port} is ${kind(wanted)}, and so is the target's replication`);
}

/** Undefined where the target is sent to a port that the source doesn't have: mapped, or wrong. */
async function portSpeaksTls(c: RedisOnlineContext): Promise<boolean | undefined> {
  const { endpoint } = c.source;
  await c.source.info();
  // The worker's own connection is the proof.
  if (endpoint.port === c.replication.port) return Boolean(endpoint.tls);
  const [plain, tls] = await Promise.all([c.source.setting('port'), c.source.setting('tls-port')]);
  if (String(c.replication.port) === tls) return true;
  return String(c.replication.port) === plain ? false : undefined;
}
