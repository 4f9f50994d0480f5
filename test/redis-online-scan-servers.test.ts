/** `engine: scan` where a replica can't be had: clusters of three shards, TLS and ACL users, Valkey 9, several databases. */
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startMigration } from '../client/index.ts';
import { freePort } from '../sandbox/runtime/ports.ts';
import type { RedisServer } from '../sandbox/runtime/redis.ts';
import { certificate } from './stage/certificate.ts';
import { clusterOf, startCounting } from './stage/counting-app.ts';
import { clusterMode, contents, fill, stage as servers, type Stage as Servers } from './stage/redis-copy.ts';
import { expectSwitched, openScene } from './stage/replicaof.ts';
import { endFirstAttempt } from './stage/second-attempt.ts';
import { Stage, atGate, isDone, until, untilStatus } from './stage/stage.ts';
import { approvedToTheEnd } from './stage/to-the-end.ts';
import { startTripwire } from './stage/tripwire.ts';

const SECRETS = { SCAN_SOURCE: 'of-the-source-4f1b', SCAN_TARGET: 'of-the-target-77ce' };
let stage: Stage;
let made: Servers;
beforeAll(async () => {
  stage = await Stage.open();
  made = servers();
  await stage.worker(SECRETS);
});
afterAll(async () => {
  await stage?.close();
  await made?.stop();
});

test('a cluster of three shards to a cluster of two: aborted with the fence up, and then to the end, nothing is lost', async () => {
  const [from, to] = await Promise.all([made.cluster('from', 3), made.cluster('to', 2)]);
  const source = clusterOf(from[0]!);
  await fill((name, ...args) => source.call(String(name), args), 900);
  const app = await startCounting(source);
  const id = 'scan-cluster';
  const endpoint = ({ port }: RedisServer) => ({ host: '127.0.0.1', port });
  const migration = {
    kind: 'redis-online',
    id,
    engine: 'scan',
    crashDetection: '2s',
    source: endpoint(from[1]!),
    target: endpoint(to[0]!),
    notifications: 'switch-on',
    copy: { bigKeyBytes: 65_536 },
    inSync: { interval: '100ms', readings: 2 },
    cutover: { budgets: { fence: '2s', drain: '8s', complete: '8s', canary: '5s' } },
    abort: { removePartialData: true },
    switch: [app.hook],
  };
  await endFirstAttempt(stage.client, id);
  const first = await startMigration(stage.client, { migration: migration as never });
  await untilStatus(first, 'at the gate', atGate);
  const fenced = async () => {
    const values = await Promise.all(
      from.map(async (node) => {
        const redis = node.connect();
        const [, value] = await redis.config('GET', 'min-replicas-to-write');
        redis.disconnect();
        return Number(value);
      }),
    );
    return values.filter((value) => value > 0).length;
  };
  await first.approve({ by: 'test' });
  await until('one is fenced', async () => (await fenced()) > 0);
  await first.abort({ by: 'test' }).catch(() => {});
  const ended = await untilStatus(first, 'over', (s) => s.phase === 'aborted' || isDone(s));
  if (ended.phase === 'aborted') {
    expect(await fenced()).toBe(0);
    expect((await contents(...to)).size).toBe(0);
    const second = await startMigration(stage.client, { migration: migration as never });
    await untilStatus(second, 'at the gate', atGate);
    await second.approve({ by: 'test' });
    await untilStatus(second, 'done', isDone);
  }
  expect(await fenced()).toBe(3);
  expect(await app.stop()).toEqual([]);
  expect(app.acknowledged()).toBeGreaterThan(200);
  const standing = async (nodes: RedisServer[]) =>
    new Map([...(await contents(...nodes))].filter(([name]) => !/^0 (count|gone):/.test(name)));
  expect(await standing(to)).toEqual(await standing(from));
  source.disconnect();
});

test('a node that becomes a primary between two tries of the attach is put back, too', async () => {
  const bus = await freePort();
  const [from, replica, target] = await Promise.all([
    made.cluster('failing', 2),
    made.server('failing-replica', { config: clusterMode(bus) }),
    stage.redis(),
  ]);
  const [old] = from;
  const nodes = [...from, replica];
  const on = async <T>(server: RedisServer, ask: (redis: Redis) => Promise<T>) => {
    const redis = server.connect();
    return ask(redis).finally(() => redis.disconnect());
  };
  const settings = () =>
    Promise.all(nodes.map((node) => on(node, async (r) => (await r.config('GET', 'notify-keyspace-events'))[1])));
  await on(old!, (redis) => redis.call('CLUSTER', 'MEET', '127.0.0.1', replica.port, bus));
  const oldId = String(await on(old!, (redis) => redis.call('CLUSTER', 'MYID')));
  await until('they have met', () =>
    on(replica, async (redis) => String(await redis.call('CLUSTER', 'NODES')).includes(`${oldId} 127.0.0.1`)),
  );
  await on(replica, (redis) => redis.call('CLUSTER', 'REPLICATE', oldId));
  await until('it replicates', async () => (await on(replica, (r) => r.info())).includes('master_link_status:up'));
  await on(replica, (redis) => redis.config('SET', 'notify-keyspace-events', 'Ex'));

  const wire = await startTripwire(target.port);
  stage.endLater(wire, () => wire.close());
  const owner = 'cutover:copy:owner';
  void wire.arm({
    when: 'before',
    match: (words) => words[0] === 'SET' && words[1] === owner.toUpperCase(),
    action: async () => void (await on(target, (redis) => redis.set(owner, 'another 1'))),
  });
  const id = 'scan-failed-over';
  await endFirstAttempt(stage.client, id);
  const handle = await startMigration(stage.client, {
    migration: {
      kind: 'redis-online',
      id,
      engine: 'scan',
      crashDetection: '2s',
      source: { host: '127.0.0.1', port: from[1]!.port },
      target: { host: '127.0.0.1', port: wire.port },
      notifications: 'switch-on',
      inSync: { interval: '100ms', readings: 2 },
    } as never,
  });
  await untilStatus(handle, 'parked', (s) => s.operator?.step === 'attach');
  await on(replica, (redis) => redis.call('CLUSTER', 'FAILOVER'));
  await until('it is a primary for the others, too', () =>
    on(from[1]!, async (redis) =>
      ((await redis.call('CLUSTER', 'SLOTS')) as [number, number, [string, number]][]).some(
        ([, , [, port]]) => port === replica.port,
      ),
    ),
  );
  await until('it is a primary', async () => (await on(replica, (r) => r.info('replication'))).includes('role:master'));
  await on(target, (redis) => redis.del(owner));
  await handle.retry({ by: 'test' });
  await untilStatus(handle, 'attached', (s) => s.steps.find((step) => step.id === 'attach')?.state === 'done');
  expect((await settings()).every((setting) => setting?.includes('K'))).toBe(true);
  await handle.abort({ by: 'test' });
  await untilStatus(handle, 'aborted', (s) => s.phase === 'aborted');
  expect(await settings()).toEqual(['', '', 'xE']);
});

/** What redis.conf needs for TLS, with a certificate of its own. @param names as `openssl` wants them: DNS:…, IP:… */
function tlsFor(names: string) {
  const { cert, key } = certificate(stage.dir, names);
  const tls = { 'tls-cert-file': cert, 'tls-key-file': key, 'tls-ca-cert-file': cert, 'tls-auth-clients': 'no' };
  return { cert, tls };
}

test('clusters with TLS and a password on both sides, whose nodes are known by host names alone', async () => {
  const { cert, tls } = tlsFor('DNS:localhost');
  const secured = async (name: string, password: string) => {
    const ports = await Promise.all([freePort(), freePort()]);
    const nodes = await made.cluster(name, 2, (i) => ({
      password,
      config: {
        ...tls,
        'tls-port': String(ports[i]),
        'tls-cluster': 'yes',
        masterauth: password,
        'cluster-announce-hostname': 'localhost',
        'cluster-preferred-endpoint-type': 'hostname',
      },
    }));
    return { nodes, port: ports[0] };
  };
  const [from, to] = await Promise.all([secured('of', SECRETS.SCAN_SOURCE), secured('at', SECRETS.SCAN_TARGET)]);
  const source = clusterOf(from.nodes[0]!, { password: SECRETS.SCAN_SOURCE });
  await fill((name, ...args) => source.call(String(name), args), 400);
  const id = 'scan-secure-clusters';
  const end = (port: number, env: string) => ({ host: 'localhost', port, password: { env }, tls: { ca: cert } });
  const migration = {
    kind: 'redis-online',
    id,
    engine: 'scan',
    crashDetection: '2s',
    source: end(from.port, 'SCAN_SOURCE'),
    target: end(to.port, 'SCAN_TARGET'),
    notifications: 'switch-on',
    inSync: { interval: '100ms', readings: 2 },
    cutover: { gate: 'auto', budgets: { fence: '2s', drain: '8s', complete: '8s', canary: '5s' } },
  };
  await endFirstAttempt(stage.client, id);
  const handle = await startMigration(stage.client, { migration: migration as never });
  const done = await untilStatus(handle, 'done', isDone);
  expect(done.steps.find((step) => step.id === 'compare')?.note).toMatch(/equal/);
  expect(await contents(...to.nodes)).toEqual(await contents(...from.nodes));
  source.disconnect();
});

test('TLS and ACL users, databases 0 and 3, Redis 7 to Valkey 9; no secret is shown', async () => {
  const { cert, tls } = tlsFor('IP:127.0.0.1');
  const port = await freePort();
  const [source, target] = await Promise.all([
    stage.redis({ config: { ...tls, 'tls-port': String(port), 'notify-keyspace-events': 'KA' } }),
    stage.redis({ flavour: 'valkey' }),
  ]);
  const asRoot = [source.connect(), target.connect()] as const;
  for (const db of [0, 3]) {
    await asRoot[0].select(db);
    await fill((name, ...args) => asRoot[0].call(String(name), args), 300, `db${db}:`);
  }
  const user = (redis: (typeof asRoot)[number], password: string, rules: string[]) =>
    redis.call(
      'ACL',
      'SETUSER',
      'mover',
      'on',
      `>${password}`,
      '~*',
      '&__keyspace@*__:*',
      '+@all',
      '-@dangerous',
      ...rules,
    );
  await user(asRoot[0], SECRETS.SCAN_SOURCE, [
    '+info',
    '+role',
    '+config|get',
    '+config|set',
    '+client|list',
    '+client|kill',
  ]);
  await user(asRoot[1], SECRETS.SCAN_TARGET, [
    '+info',
    '+role',
    '+restore',
    '+client|list',
    '+client|kill',
    '+config|get',
  ]);
  const id = 'scan-secure';
  const migration = {
    kind: 'redis-online',
    id,
    engine: 'scan',
    crashDetection: '2s',
    source: { host: '127.0.0.1', port, username: 'mover', password: { env: 'SCAN_SOURCE' }, tls: { ca: cert } },
    target: { host: '127.0.0.1', port: target.port, username: 'mover', password: { env: 'SCAN_TARGET' } },
    inSync: { interval: '100ms', readings: 2 },
    cutover: { gate: 'auto', budgets: { fence: '2s', drain: '8s', complete: '8s', canary: '5s' } },
  };
  await endFirstAttempt(stage.client, id);
  const handle = await startMigration(stage.client, { migration: migration as never });
  const done = await untilStatus(handle, 'done', isDone);
  expect(await contents(target)).toEqual(await contents(source));
  const history = await stage.client.workflow.getHandle(id).fetchHistory();
  for (const secret of Object.values(SECRETS)) {
    expect(JSON.stringify(done)).not.toContain(secret);
    expect(JSON.stringify(history)).not.toContain(secret);
    expect(JSON.stringify(history)).not.toContain(Buffer.from(secret).toString('base64').slice(0, 12));
  }
  asRoot.forEach((redis) => redis.disconnect());
});

test('the history is cut again and again: the follower ends before, goes on after, and nothing is lost', async () => {
  // Some steps' events: less than these, and it would be begun again before it is in sync.
  const cut = await Stage.open({ dynamicConfig: ['limit.historyCount.suggestContinueAsNew=60'] });
  try {
    await cut.worker();
    const scene = await openScene(cut, { id: 'scan-cut', engine: 'scan' });
    // An approval is refused where it is just being cut.
    const done = await approvedToTheEnd(scene.handle, 90_000);
    await expectSwitched(scene, done);
    const { raw } = await cut.client.workflow.getHandle('scan-cut').describe();
    expect(raw.workflowExecutionInfo?.firstRunId).not.toBe(raw.workflowExecutionInfo?.execution?.runId);
  } finally {
    await cut.close();
  }
});
