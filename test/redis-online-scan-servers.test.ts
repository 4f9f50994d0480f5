/** `engine: scan` where a replica can't be had: clusters of three shards, TLS and ACL users, Valkey 9, several databases. */
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Cluster } from 'ioredis';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startMigration } from '../client/index.ts';
import { freePort } from '../sandbox/runtime/ports.ts';
import type { RedisServer } from '../sandbox/runtime/redis.ts';
import { contents, fill, stage as servers, type Stage as Servers } from './stage/redis-copy.ts';
import { expectSwitched, openScene } from './stage/replicaof.ts';
import { endFirstAttempt } from './stage/second-attempt.ts';
import { Stage, atGate, isDone, until, untilStatus } from './stage/stage.ts';

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

const clusterOf = ({ host, port }: RedisServer) => {
  const cluster = new Cluster([{ host, port }], { redisOptions: { connectionName: 'an application' } });
  cluster.on('error', () => {});
  return cluster;
};

/** Counts on many keys, and knows what was acknowledged; goes where it is sent. */
async function startCounting(first: Cluster, second: Cluster) {
  const acknowledged = new Map<string, number>();
  const unanswered = new Map<string, number>();
  let at = first;
  let over = false;
  const more = (map: Map<string, number>, key: string) => map.set(key, (map.get(key) ?? 0) + 1);
  const client = async (name: number) => {
    for (let i = 0; !over; i++) {
      const key = `count:${name}:${i % 200}`;
      try {
        await at.incr(key);
        more(acknowledged, key);
      } catch (error) {
        // A refusal is no write; what got no answer may be one.
        if (!/NOREPLICAS/.test(String(error))) more(unanswered, key);
        await sleep(5);
      }
      // Deletes are carried over as well.
      if (i % 10 === 0)
        await at
          .set(`gone:${name}`, i)
          .then(() => at.del(`gone:${name}`))
          .catch(() => {});
      await sleep(2);
    }
  };
  const clients = [client(1), client(2)];
  const hook = createServer((_, response) => {
    at = second;
    response.end();
  }).listen(0, '127.0.0.1');
  await once(hook, 'listening');
  return {
    hook: { type: 'webhook', url: `http://127.0.0.1:${(hook.address() as AddressInfo).port}/`, timeout: '20s' },
    async stop() {
      over = true;
      await Promise.all(clients);
      hook.close();
      return { acknowledged, unanswered };
    },
  };
}

test('a cluster of three shards to a cluster of two: aborted with the fence up, and then to the end, nothing is lost', async () => {
  const [from, to] = await Promise.all([made.cluster('from', 3), made.cluster('to', 2)]);
  const [source, target] = [clusterOf(from[0]!), clusterOf(to[0]!)];
  await fill((name, ...args) => source.call(String(name), args), 900);
  const app = await startCounting(source, target);
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
  const { acknowledged, unanswered } = await app.stop();
  const lost: string[] = [];
  for (const [key, count] of acknowledged) {
    const value = Number(await target.get(key));
    if (value < count || value > count + (unanswered.get(key) ?? 0)) lost.push(`${key}: ${count}, there ${value}`);
  }
  expect(lost).toEqual([]);
  expect([...acknowledged.values()].reduce((sum, n) => sum + n, 0)).toBeGreaterThan(200);
  const standing = async (nodes: RedisServer[]) =>
    new Map([...(await contents(...nodes))].filter(([name]) => !/^0 (count|gone):/.test(name)));
  expect(await standing(to)).toEqual(await standing(from));
  source.disconnect();
  target.disconnect();
});

test('TLS and ACL users, databases 0 and 3, Redis 7 to Valkey 9; no secret is shown', async () => {
  const [cert, key] = ['cert.pem', 'key.pem'].map((name) => join(stage.dir, name)) as [string, string];
  const request = 'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=redis';
  execFileSync(
    'openssl',
    [...request.split(' '), '-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', key, '-out', cert],
    {
      stdio: 'pipe',
    },
  );
  const port = await freePort();
  const tls = { 'tls-cert-file': cert, 'tls-key-file': key, 'tls-ca-cert-file': cert, 'tls-auth-clients': 'no' };
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
    const done = await untilStatus(scene.handle, 'done', (status) => {
      // Refused where it is just being cut.
      if (atGate(status)) void scene.handle.approve({ by: 'test' }).catch(() => {});
      return isDone(status);
    });
    await expectSwitched(scene, done);
    const { raw } = await cut.client.workflow.getHandle('scan-cut').describe();
    expect(raw.workflowExecutionInfo?.firstRunId).not.toBe(raw.workflowExecutionInfo?.execution?.runId);
  } finally {
    await cut.close();
  }
});
