/** Options of the application's own clients, which the library's connections inherit, must not weaken what it promises. */
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { Cluster, Redis } from 'ioredis';
import type { RedisOptions } from 'ioredis';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { play } from './dual-write/play.ts';
import type { Play } from './dual-write/play.ts';
import { contents, stage, until } from './stage/redis-copy.ts';

vi.setConfig({ testTimeout: 90_000 });

let p: Play;
const servers = stage();
const networks: Network[] = [];
beforeAll(async () => void (p = await play()), 60_000);
afterAll(async () => {
  await p.stop();
  await servers.stop();
}, 60_000);
beforeEach(() => p.reset());
afterEach(() => {
  for (const one of networks.splice(0)) one.close();
});

interface Network {
  port: number;
  /** From now on nothing arrives at the server. */
  hold(): void;
  /** What was held arrives, also of connections that were closed meanwhile; not of those that were reset. */
  heal(): void;
  close(): void;
}

async function network(to: { port: number }): Promise<Network> {
  let held: (() => void)[] | undefined;
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (outside) => {
    const inside = connect(to.port, '127.0.0.1');
    sockets.add(outside).add(inside);
    const arrive = (what: () => void) => void (held ? held.push(what) : what());
    outside.on('data', (chunk: Buffer) => arrive(() => !inside.destroyed && inside.write(chunk)));
    outside.on('end', () => arrive(() => inside.end()));
    outside.on('error', () => inside.destroy());
    inside.on('data', (chunk: Buffer) => outside.writable && outside.write(chunk));
    inside.on('error', () => {});
    inside.on('close', () => outside.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const own: Network = {
    port,
    hold: () => void (held ??= []),
    heal: () => {
      const all = held ?? [];
      held = undefined;
      for (const one of all) one();
    },
    close: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
  networks.push(own);
  return own;
}

/** A write that nothing is heard of, and then the network is back. Resolves when later writes arrive again. */
async function lateWrite(dual: ReturnType<Play['dual']>, net: Network): Promise<unknown> {
  await dual.ready();
  await dual.set('before', '1');
  net.hold();
  const failed: unknown = await dual.set('late', '1').then(
    () => undefined,
    (error: unknown) => error,
  );
  // How a connection ended has come to the other end before that of a later round trip.
  for (let i = 0; i < 3; i++) await p.s.ping();
  net.heal();
  await until('writes arrive again', () =>
    dual.set('after', '1').then(
      () => true,
      () => false,
    ),
  );
  return failed;
}

test.each([{ commandTimeout: 100 }, { socketTimeout: 100 }])(
  'a write that is not answered never arrives later, whatever the application sets: %o',
  async (bound) => {
    const net = await network(p.source);
    const dual = p.dual({ source: { host: '127.0.0.1', port: net.port, ...bound } });
    const failed = await lateWrite(dual, net);
    expect(await p.s.exists('late')).toBe(0);
    expect(failed).toMatchObject({ name: 'DualWriteTimeout', written: undefined });
  },
);

test('… nor where the bound is that of a cluster’s client', async () => {
  const [node] = await servers.cluster('bounded', 1, () => ({ config: { 'cluster-announce-ip': '127.0.0.1' } }));
  const net = await network(node!);
  const pattern = new Cluster([{ host: node!.host, port: node!.port }], {
    natMap: { [`${node!.host}:${node!.port}`]: { host: '127.0.0.1', port: net.port } },
    redisOptions: { commandTimeout: 100 },
  });
  try {
    const dual = p.dual({ source: pattern });
    const failed = await lateWrite(dual, net);
    expect(await node!.connect().exists('late')).toBe(0);
    expect(failed).toMatchObject({ name: 'DualWriteTimeout', written: undefined });
  } finally {
    pattern.disconnect();
  }
});

test('… nor where a bound gets past ours: the client that gives up is cut', async () => {
  const { defaultOptions } = Redis as unknown as { defaultOptions: RedisOptions };
  const net = await network(p.source);
  defaultOptions.commandTimeout = 400;
  try {
    const dual = p.dual({ source: { host: '127.0.0.1', port: net.port } });
    expect(await lateWrite(dual, net)).toMatchObject({ message: 'Command timed out' });
    expect(await p.s.exists('late')).toBe(0);
    await p.phase('both'); // a write is a transaction now
    expect(await lateWrite(dual, net)).toMatchObject({ message: 'Command timed out' });
    expect(await p.s.exists('late')).toBe(0);
  } finally {
    delete defaultOptions.commandTimeout;
  }
});

test('reads keep the application’s commandTimeout', async () => {
  const net = await network(p.source);
  const dual = p.dual({ source: { host: '127.0.0.1', port: net.port, commandTimeout: 100 } });
  await dual.ready();
  net.hold();
  await expect(dual.get('k')).rejects.toThrow('Command timed out');
  net.heal();
  await until('reads are answered again', () =>
    dual.get('k').then(
      () => true,
      () => false,
    ),
  );
});

test('stringNumbers: the target gets what came of a command, and large values are left to the repair', async () => {
  const at = ({ host, port }: { host: string; port: number }) => ({ host, port, stringNumbers: true });
  const dual = p.dual({ source: at(p.source), target: at(p.target), secondWrite: 'fail', maxCopyBytes: 10_000 });
  await dual.ready();
  await p.phase('both');
  expect(await dual.setnx('a', '1')).toBe('1');
  expect(await dual.setnx('a', '2')).toBe('0');
  await dual.msetnx('b', '1', 'c', '2');
  await dual.hsetnx('h', 'f', 'v');
  await dual.renamenx('b', 'd');
  await dual.copy('c', 'e');
  await dual.multi().setnx('m', '1').exec();
  expect(await contents(p.target)).toEqual(await contents(p.source));
  await dual.eval("return redis.call('SET', KEYS[1], string.rep('x', 50000))", 1, 'large');
  expect([await p.s.strlen('large'), await p.t.exists('large')]).toEqual([50_000, 0]);
  expect(dual.status()).toMatchObject({ recorded: 1, failedSecondWrites: 0 });
});
