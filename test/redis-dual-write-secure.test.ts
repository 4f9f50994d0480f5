/** `kind: redis-dual-write` as it is in production: TLS and users on both sides, several databases, a newer engine, and back. */
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { pipeline } from 'node:stream';
import { createServer } from 'node:tls';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { DualWriteRedis } from '../client/dual-write/index.ts';
import { freePort } from '../sandbox/runtime/ports.ts';
import type { RedisServer } from '../sandbox/runtime/redis.ts';
import type { MigrationStatus } from '../spec/status.ts';
import { openDualScene, withRedis, type DualScene } from './stage/dual-write.ts';
import { verdictOf } from './stage/dual-write-verdict.ts';
import { contents, fill } from './stage/redis-copy.ts';
import { atGate, isDone, Stage, until, untilStatus } from './stage/stage.ts';

const SECRETS = { SOURCE_PASSWORD: 'of-the-source-7c1e', TARGET_PASSWORD: 'of-the-target-93ab' };
const APP_SECRET = 'of-the-application-51d0';
const NOTHING_WRONG = { lost: [], stale: [], doubled: [] };
let stage: Stage;
beforeAll(async () => {
  stage = await Stage.open();
  await stage.worker(SECRETS);
});
afterAll(() => stage.close());

const at = (gate: string) => (status: MigrationStatus) => atGate(status) && status.gate?.id === gate;

/** An authority of our own, and a certificate by it for 127.0.0.1. */
function certificates(dir: string): { ca: string; cert: string; key: string } {
  const [ca, caKey, cert, key] = ['ca.pem', 'ca-key.pem', 'cert.pem', 'key.pem'].map((name) => join(dir, name));
  const openssl = (...args: string[]) => execFileSync('openssl', args, { stdio: 'pipe' });
  const fresh = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'];
  openssl(...fresh, '-subj', '/CN=our own authority', '-keyout', caKey!, '-out', ca!);
  const signed = ['-CA', ca!, '-CAkey', caKey!, '-addext', 'subjectAltName=IP:127.0.0.1'];
  openssl(...fresh, '-subj', '/CN=redis', ...signed, '-keyout', key!, '-out', cert!);
  return { ca: ca!, cert: cert!, key: key! };
}

test('TLS and users on both sides, databases 0 and 3, Redis to Valkey 9: back from the second gate, and to the end', async () => {
  const { ca, cert, key } = certificates(stage.dir);
  const tls = { 'tls-cert-file': cert, 'tls-key-file': key, 'tls-ca-cert-file': ca, 'tls-auth-clients': 'no' };
  const ports = { source: await freePort(), target: await freePort() };
  const over = (side: 'source' | 'target') => ({ port: ports[side], username: 'app', password: APP_SECRET, ca });
  const scene = await openDualScene(stage, {
    id: 'dual-secure',
    servers: {
      source: { config: { ...tls, 'tls-port': String(ports.source) } },
      target: { flavour: 'valkey' },
    },
    app: { source: over('source'), target: over('target') },
    more: { instances: { min: 2, ackTimeout: '20s' }, abort: { removePartialData: true } },
    prepare: async ({ source, target }) => {
      await user(source, SECRETS.SOURCE_PASSWORD);
      await user(target, SECRETS.TARGET_PASSWORD);
      await filled(source, [0, 3]);
    },
  });
  const worker = { host: '127.0.0.1', username: 'mover', tls: { ca } };
  scene.migration['source'] = { ...worker, port: ports.source, password: { env: 'SOURCE_PASSWORD' } };
  scene.migration['target'] = { ...worker, port: ports.target, password: { env: 'TARGET_PASSWORD' } };
  expect(await version(scene.target)).toMatch(/^valkey_version:9\./m);
  expect(await version(scene.source)).toMatch(/^redis_version:7\.0/m);

  const through = await terminate(ports.target, scene.target.port, cert, key);

  const instances = [await scene.instance('zero'), await scene.instance('three', { both: { db: 3 } })];
  const first = await scene.start();
  await untilStatus(first, 'the first gate', at('approve-reads'));
  const left = await scene.recorded();
  await first.approve({ by: 'test' });
  await untilStatus(first, 'the second gate', at('approve-source-off'));
  expect(await inTheClear(scene, through)).toEqual([]);
  // Valkey 9 is right by now. Its DUMP is nothing that Redis 7 can read: what scripts write is left to the repair.
  await until('scripts have written', async () => (await scene.recorded()) > left + 20);
  await first.abort({ by: 'test' });
  const back = await untilStatus(first, 'aborted', (s) => s.phase === 'aborted');
  expect(back.undo.map(({ id, state }) => [id, state])).toEqual([
    ['data', 'undone'],
    ['phase', 'undone'],
    ['reads', 'undone'],
  ]);
  expect(await scene.control()).toMatchObject({ phase: 'source' });
  await Promise.all(instances.map((one) => one.end()));
  await judged(scene, scene.source);
  expect(await contents(scene.target)).toEqual(new Map());

  const again = [await scene.instance('zero'), await scene.instance('three', { both: { db: 3 } })];
  const second = await scene.start();
  await untilStatus(second, 'the first gate', at('approve-reads'));
  await second.approve({ by: 'test' });
  await untilStatus(second, 'the second gate', at('approve-source-off'));
  await second.approve({ by: 'test' });
  const done = await untilStatus(second, 'done', isDone);
  expect(done.report['final']).toMatchObject({ targetKeys: { db0: expect.any(Number), db3: expect.any(Number) } });
  await Promise.all(again.map((one) => one.end()));
  await judged(scene, scene.target);
  expect(await standing(scene.target)).toEqual(await standing(scene.source));
  expect((await standing(scene.target)).size).toBeGreaterThan(2 * 150);

  for (const handle of [first, second]) {
    const { events } = await stage.client.workflow.getHandle(handle.id).fetchHistory();
    const shown = Buffer.from(JSON.stringify([await handle.status(), events])).toString();
    for (const secret of [...Object.values(SECRETS), APP_SECRET]) {
      expect(shown).not.toContain(secret);
      expect(shown).not.toContain(Buffer.from(secret).toString('base64').slice(0, 20));
    }
  }
  await scene.close();
}, 240_000);

test('a write that was given up over TLS is never sent after all: the connection is reset, not closed', async () => {
  const { ca, cert, key } = certificates(stage.dir);
  const [source, target, port] = [await stage.redis(), await stage.redis(), await freePort()];
  const ended: (string | undefined)[] = [];
  await terminate(port, source.port, cert, key, (how) => ended.push(how));
  const dual = new DualWriteRedis({
    id: 'reset',
    source: { host: '127.0.0.1', port, tls: { ca: readFileSync(ca, 'utf8') } },
    target: { host: target.host, port: target.port },
  });
  try {
    await dual.set('k', '1');
    source.signal('SIGSTOP');
    await expect(dual.set('k', '2')).rejects.toThrow('was not answered by the source within');
    await until('the other end saw how it ended', async () => ended.length > 0);
    expect(ended[0]).toBe('ECONNRESET');
  } finally {
    source.signal('SIGCONT');
    await dual.close();
  }
}, 60_000);

const user = (server: RedisServer, password: string) =>
  withRedis(server, async (redis) => {
    // As docs/redis-dual-write.md has it for the worker.
    const worker = '+@all -@dangerous +info +role +restore +cluster|slots +client|list +client|kill +flushall'.split(
      ' ',
    );
    await redis.call('ACL', 'SETUSER', 'mover', 'on', `>${password}`, '~*', '&*', ...worker);
    await redis.call('ACL', 'SETUSER', 'app', 'on', `>${APP_SECRET}`, '~*', '&*', '+@all', '-@admin');
  });

const filled = (server: RedisServer, databases: number[]) =>
  withRedis(server, async (redis) => {
    for (const db of databases) {
      await redis.select(db);
      await fill((...[name, ...args]) => redis.callBuffer(String(name), args), 150, `old-${db}-`);
    }
  });

const version = (server: RedisServer) => withRedis(server, (redis) => redis.info('server'));

/**
 * TLS in front of a server: the Valkey that the tests have was built without it.
 * @returns the ports from which it speaks to the server
 */
async function terminate(
  port: number,
  to: number,
  cert: string,
  key: string,
  onEnd: (errorCode: string | undefined) => void = () => {},
): Promise<ReadonlySet<number>> {
  const used = new Set<number>();
  const server = createServer({ cert: readFileSync(cert), key: readFileSync(key) }, (outside) => {
    const inside = connect(to, '127.0.0.1', () => used.add(inside.localPort!));
    pipeline(outside, inside, (error) => onEnd(error?.code));
    pipeline(inside, outside, () => {});
    stage.endLater(inside, async () => void inside.destroy());
  });
  stage.endLater(server, async () => void server.close());
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return used;
}

/** Connections of the application and the worker that are not over TLS. */
async function inTheClear({ source, target }: DualScene, through: ReadonlySet<number>): Promise<string[]> {
  const listed = async (server: RedisServer) => {
    const lines = String(await withRedis(server, (redis) => redis.client('LIST'))).split('\n');
    const ours = lines.filter((line) => / name=cutover(-dual)?:dual-secure/.test(line));
    expect(ours.length).toBeGreaterThan(2);
    return ours;
  };
  const there = (await listed(target)).filter((line) => !through.has(Number(/ addr=\S*:(\d+)/.exec(line)?.[1])));
  const here = (await listed(source)).filter((line) => line.includes(` laddr=127.0.0.1:${source.port} `));
  return [...here, ...there];
}

/** Each instance has a database of its own. */
async function judged(scene: DualScene, server: RedisServer): Promise<void> {
  await withRedis(server, async (redis) => {
    expect(await verdictOf(scene, redis, 'zero')).toMatchObject(NOTHING_WRONG);
    await redis.select(3);
    expect(await verdictOf(scene, redis, 'three')).toMatchObject(NOTHING_WRONG);
  });
}

/** What the application does not write. */
const standing = async (server: RedisServer) =>
  new Map([...(await contents(server))].filter(([name]) => /^\d old-/.test(name)));
