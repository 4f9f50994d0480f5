/**
 * What no server on this machine can be made to be: an ElastiCache source, one without memory, with modules, on another
 * address. Real probes, with the one answer in question as such a server gives it.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { replicaOfChecks } from '../activities/redis/preflight/catalogue.ts';
import type { RedisOnlineContext } from '../activities/redis/preflight/context.ts';
import { redisProbe, type RedisProbe } from '../activities/redis/preflight/probe.ts';
import { replicaOfContext } from '../activities/redis/preflight/replicaof-context.ts';
import { runChecks } from '../activities/preflight/run-checks.ts';
import type { CheckReport } from '../spec/preflight.ts';
import { migrationOf, server, stopServers, type FileParts, type Pair } from './preflight-redis-servers.ts';

let pair: Pair;

beforeAll(async () => {
  const [source, target] = await Promise.all([server(), server()]);
  pair = { source, target };
}, 120_000);

afterAll(stopServers, 60_000);

interface Recorded {
  file?: FileParts;
  moment?: RedisOnlineContext['moment'];
  source?: (real: RedisProbe) => Partial<RedisProbe>;
  target?: (real: RedisProbe) => Partial<RedisProbe>;
}

/** A server whose INFO has other values. */
const saying = (over: Record<string, string>) => (real: RedisProbe) => ({
  info: async () => ({ ...(await real.info()), ...over }),
});

/** A server with another answer to a command. */
const answering = (command: string, answer: unknown) => (real: RedisProbe) => ({
  call: async (name: string, ...args: string[]) =>
    [name, ...args].join(' ').startsWith(command) ? answer : real.call(name, ...args),
});

async function check(id: string, recorded: Recorded = {}): Promise<CheckReport> {
  const migration = migrationOf(pair, recorded.file);
  const real = redisProbe('source', migration.source, 'cutover:test');
  const { host, port } = migration.source;
  const context = replicaOfContext(migration, {
    moment: recorded.moment ?? 'before-attach',
    source: { ...real, ...recorded.source?.(real) },
    replication: migration.source.replicationAddress ?? { host, port },
  });
  const target = { ...context.target, ...recorded.target?.(context.target) };
  try {
    const one = replicaOfChecks.filter((each) => each.id === id);
    expect(one).toHaveLength(1);
    const [report] = await runChecks(one, { ...context, target });
    return report!;
  } finally {
    real.close();
    context.target.close();
  }
}

describe('answers of servers that are not here', () => {
  test('S1: an ElastiCache node as source', async () => {
    expect(await check('S1')).toMatchObject({ result: 'pass' });
    expect(await check('S1', { source: saying({ os: 'Amazon ElastiCache' }) })).toMatchObject({
      result: 'fail',
      found: expect.stringContaining('os: Amazon ElastiCache'),
    });
  });

  test('S2: a source older than can be followed', async () => {
    const source = (real: RedisProbe) => ({
      version: async () => ({ ...(await real.version()), major: 2, minor: 8, patch: 20, text: 'Redis 2.8.20' }),
    });
    expect(await check('S2', { source })).toMatchObject({
      result: 'fail',
      found: 'the source is Redis 2.8.20; 2.8.21 is the oldest that can be followed',
    });
  });

  test('S9.memory: less than a third of what is used is left', async () => {
    const source = saying({ used_memory_rss: '8000000000', total_system_memory: '10000000000' });
    expect(await check('S9.memory', { source })).toMatchObject({
      result: 'warn',
      found: '7.45 GiB of 9.31 GiB used by Redis; less than 30 % of it is left',
    });
    expect(await check('S9.memory', { source: saying({ total_system_memory: '0' }) })).toMatchObject({
      result: 'unknown',
    });
  });

  test('S9.fork: a server that has never forked is not known to be able to', async () => {
    expect(await check('S9.fork', { source: saying({ latest_fork_usec: '0' }) })).toMatchObject({
      result: 'unknown',
      remedy: expect.stringMatching(
        /^on the source's machine: sysctl vm\.overcommit_memory {2}# 1; or try it: redis-cli .* BGSAVE$/,
      ),
    });
  });

  test('S12.modules: on the source alone, and on both', async () => {
    const modules = answering('MODULE LIST', [
      ['name', 'ReJSON', 'ver', 20_609, 'path', '/opt/rejson.so', 'args', []],
      ['name', 'bf', 'ver', 20_802, 'path', '/opt/bloom.so', 'args', []],
    ]);
    expect(await check('S12.modules', { source: modules })).toMatchObject({
      result: 'fail',
      found: 'on the source alone: ReJSON, bf; a key of such a type ends the copy',
    });
    expect(await check('S12.modules', { source: modules, target: modules })).toMatchObject({
      result: 'pass',
      found: 'ReJSON, bf on both',
    });
  });

  test('S10: a source whose backlog tells what it writes, and one without', async () => {
    const rate = (bytesPerSecond: number, exact: boolean) => () => ({
      writeRate: async () => ({ bytesPerSecond, exact }),
    });
    expect((await check('S10', { source: rate(1_048_576, true) })).found).toMatch(
      /^the application writes 1 MiB\/s: about 2 MiB pile up/,
    );
    expect((await check('S10', { source: rate(1_048_576, false) })).found).toMatch(
      /^clients send at most 1 MiB\/s \(no backlog yet/,
    );
    expect(await check('S10', { source: rate(80 * 1_048_576, true) })).toMatchObject({
      result: 'warn',
      found: expect.stringMatching(/63 % of the limit 268435456 67108864 60$/),
    });
  });

  test('T1: a target that loads', async () => {
    expect(await check('T1', { target: saying({ loading: '1' }) })).toMatchObject({
      result: 'fail',
      found: 'loading:1',
    });
  });

  test('T11: before the fence, a link that is down or of another history', async () => {
    const following = { role: 'slave', master_host: '127.0.0.1', master_port: String(pair.source.port) };
    const down = saying({ ...following, master_link_status: 'down' });
    expect(await check('T11', { moment: 'before-fence', target: down })).toMatchObject({
      result: 'fail',
      found: 'a replica of the source, but its link is down',
    });
    const foreign = saying({ ...following, master_link_status: 'up', master_replid: 'f'.repeat(40) });
    expect(await check('T11', { moment: 'before-fence', target: foreign })).toMatchObject({
      result: 'fail',
      found: 'a replica of the source, but of another history (master_replid)',
    });
    expect(await check('T11', { moment: 'before-attach', target: down })).toMatchObject({ result: 'pass' });
  });
});

describe('addresses', () => {
  const at = (host: string, target: object = {}) => ({ file: { source: { replicationAddress: { host } }, target } });

  test('S4: protected-mode keeps out a target from another machine, without a password', async () => {
    const s = pair.source.connect();
    await s.config('SET', 'protected-mode', 'yes');
    try {
      expect(await check('S4')).toMatchObject({ result: 'pass' });
      expect(await check('S4', at('10.0.0.5'))).toMatchObject({
        result: 'fail',
        found: 'protected-mode yes, and the target comes to 10.0.0.5 without a password',
        remedy: `redis-cli -h 127.0.0.1 -p ${pair.source.port} CONFIG SET protected-mode no`,
      });
    } finally {
      await s.config('SET', 'protected-mode', 'no');
    }
  });

  test.each([
    ['10.0.0.5', 'pass', '10.0.0.5 is a private address'],
    ['54.12.34.56', 'warn', '54.12.34.56 is a public address; replication would cross the internet in the clear'],
    ['0.0.0.0', 'warn', '0.0.0.0 is no address of one machine'],
    ['127.0.0.1', 'warn', "127.0.0.1 is a loopback address: to the target's nodes it means themselves"],
    ['localhost', 'warn', /^localhost \(.*127\.0\.0\.1.*\) is a loopback address/],
    ['nowhere.invalid', 'unknown', /the name nowhere\.invalid can't be resolved from the worker/],
  ])('N2: %s is %s', async (host, result, found) => {
    const report = await check('N2', at(host, { host: '10.0.0.9' }));
    expect(report.result).toBe(result);
    expect(report.found).toMatch(found);
  });

  test('S5: bound to every address, to this one, or to another that may be mapped', async () => {
    const bound = (to: string) => ({
      ...at('10.0.0.5'),
      source: (real: RedisProbe) => ({ setting: async (name: string) => (name === 'bind' ? to : real.setting(name)) }),
    });
    for (const to of ['', '* -::*', '0.0.0.0', '127.0.0.1 10.0.0.5']) {
      expect(await check('S5', bound(to))).toMatchObject({ result: 'pass' });
    }
    expect(await check('S5', bound('10.0.0.7'))).toMatchObject({ result: 'warn' });
    expect(await check('S5', bound('127.0.0.1 -::1'))).toMatchObject({ result: 'fail' });
  });
});

test("C3: right before the fence, this migration's own fence is taken over; at the start it is not", async () => {
  const s = pair.source.connect();
  const record = {
    migration: 'orders',
    minReplicasToWrite: 0,
    minReplicasMaxLag: 10,
    at: '2026-11-20T01:02:03Z',
    runId: 'x',
  };
  await s.set('cutover:fence', JSON.stringify(record));
  await s.config('SET', 'min-replicas-to-write', '2147482647');
  try {
    expect(await check('C3', { moment: 'before-fence' })).toMatchObject({
      result: 'warn',
      found: expect.stringMatching(/it is this migration's own$/),
    });
    expect(await check('C3')).toMatchObject({ result: 'fail' });
    expect(await check('C4')).toMatchObject({
      result: 'pass',
      found: 'a record of this migration, since 2026-11-20T01:02:03Z: taken over',
    });
  } finally {
    await s.config('SET', 'min-replicas-to-write', '0');
    await s.del('cutover:fence');
  }
});
