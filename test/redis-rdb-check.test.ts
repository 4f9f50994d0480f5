/** RDBs that real servers have made, read as they pass: whole ones are known, cut and damaged ones are refused. */
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { RdbCheck } from '../activities/redis/rdb/check.ts';
import { Crc64 } from '../activities/redis/rdb/crc64.ts';
import { provenAfter, provenOfServer } from '../activities/redis/rdb/mark.ts';
import { untilMark } from '../activities/redis/rdb/replication-stream.ts';
import { rdbVersionOf, whyNotLoadable } from '../activities/redis/rdb/versions.ts';
import { fillRedis } from '../sandbox/app/fill.ts';
import { startRedis } from '../sandbox/runtime/redis.ts';
import { oldRedis } from './old-redis.ts';

interface Made {
  bytes: Buffer;
  engine: 'redis' | 'valkey';
  version: string;
  /** The server's own clock, right before. */
  second: number;
}

let dir: string;
const made: Made[] = [];

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'rdb-check-'));
  made.push(await make('seven', {}), await make('nine', { flavour: 'valkey' }));
  const old = oldRedis();
  if (!('path' in old)) throw new Error(old.reason);
  made.push(await makeOld(old.path));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

async function make(
  name: string,
  options: { flavour?: 'redis' | 'valkey'; config?: Record<string, string> },
): Promise<Made> {
  const server = await startRedis({ dir: join(dir, name), ...options });
  try {
    await fillRedis({ host: server.host, port: server.port, keys: 500 });
    const client = server.connect();
    const [second] = await client.time();
    await client.save();
    const bytes = readFileSync(join(server.dir, 'dump.rdb'));
    return { bytes, engine: server.flavour, version: server.version, second: Number(second) };
  } finally {
    await server.stop();
  }
}

/** With the program of another version in the place of the usual one. */
async function makeOld(path: string): Promise<Made> {
  const before = process.env['REDIS_SERVER_PATH'];
  process.env['REDIS_SERVER_PATH'] = path;
  try {
    return await make('six', {});
  } finally {
    if (before === undefined) delete process.env['REDIS_SERVER_PATH'];
    else process.env['REDIS_SERVER_PATH'] = before;
  }
}

function check(bytes: Buffer, sizes: readonly number[] = [65_536]) {
  const rdb = new RdbCheck('it');
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const size = sizes[i % sizes.length]!;
    // Overwritten afterwards, as a reader with one buffer does.
    const chunk = Buffer.from(bytes.subarray(at, at + size));
    rdb.push(chunk);
    chunk.fill(0xff);
    at += size;
  }
  return rdb.end();
}

test('the checksum is that of Redis', () => {
  // The test vector in src/crc64.c.
  expect(new Crc64().update(Buffer.from('123456789')).hex()).toBe('e9c6d914c4b8d9ca');
  const text = Buffer.from('This is a test of the emergency broadcast system.');
  const whole = new Crc64().update(text).hex();
  fc.assert(
    fc.property(fc.nat(text.length), (cut) => {
      expect(new Crc64().update(text.subarray(0, cut)).update(text.subarray(cut)).hex()).toBe(whole);
    }),
  );
});

test('what real servers write is whole, of the version that the table has for them, and says when it was made', () => {
  expect(made.map(({ version }) => version.split('.')[0])).toEqual(['7', '9', '6']);
  for (const { bytes, engine, version, second } of made) {
    const facts = check(bytes);
    expect(facts).toMatchObject({
      magic: engine === 'valkey' ? 'VALKEY' : 'REDIS',
      version: rdbVersionOf({ engine, version }),
      bytes: bytes.length,
      crc64: Buffer.from(bytes.subarray(-8)).reverse().toString('hex'),
      server: version,
    });
    expect(facts.createdAt).toBeGreaterThanOrEqual(second);
    expect(facts.createdAt).toBeLessThanOrEqual(second + 60);
    expect(facts.usedMemory).toBeGreaterThan(100_000);
    provenAfter({ second, server: '', replid: '', offset: 0, backlog: false }, facts, 'it');
  }
});

test('however it comes in pieces, the same is found', () => {
  const { bytes } = made[0]!;
  const facts = check(bytes);
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 20_000 }), { minLength: 1, maxLength: 20 }), (sizes) => {
      expect(check(bytes, sizes)).toEqual(facts);
    }),
    { numRuns: 50 },
  );
  expect(check(bytes, [1])).toEqual(facts);
});

test('cut off anywhere, it is refused', () => {
  for (const { bytes } of made) {
    const cuts = [0, 1, 8, 9, 17, 18, bytes.length - 9, bytes.length - 8, bytes.length - 1];
    for (let cut = 100; cut < bytes.length; cut += 997) cuts.push(cut);
    for (const cut of cuts) expect(() => check(bytes.subarray(0, cut)), String(cut)).toThrow(/no whole RDB/);
  }
});

test('one bit turned anywhere, it is refused', () => {
  const { bytes } = made[0]!;
  fc.assert(
    fc.property(fc.nat(bytes.length - 1), fc.nat(7), (at, bit) => {
      const other = Buffer.from(bytes);
      other[at] = other[at]! ^ (1 << bit);
      expect(() => check(other)).toThrow(/no whole RDB|is from before Redis 3.2|does not say/);
    }),
    { numRuns: 200 },
  );
});

test('without a checksum (rdbchecksum no) the end is still looked for', async () => {
  const { bytes } = await make('none', { config: { rdbchecksum: 'no' } });
  expect(check(bytes).crc64).toBeUndefined();
  expect(() => check(bytes.subarray(0, -1))).toThrow(/no whole RDB/);
});

test('what was begun before is refused, and so is what does not say it', () => {
  const mark = { second: 2_000_000_000, server: '', replid: '', offset: 0, backlog: false };
  expect(() => provenAfter(mark, check(made[0]!.bytes), '/a/dump.rdb')).toThrow(
    /^\/a\/dump\.rdb was begun .*, and has to be of 2033-05-18T03:33:20\.000Z or later$/,
  );
  expect(() => provenAfter(mark, { magic: 'REDIS', version: 9 }, 'it')).toThrow(/does not say when/);
});

test('another server’s is refused where both say whose they are', () => {
  const [own, other, none] = ['a'.repeat(40), 'b'.repeat(40), '0'.repeat(40)];
  const proven = (mark: string, header: string | undefined) => () =>
    provenOfServer(
      { second: 1, server: '', replid: mark, offset: 0, backlog: true },
      { magic: 'REDIS', version: 10, ...(header === undefined ? {} : { replid: header }) },
      '/a/dump.rdb',
    );
  expect(proven(own, other)).toThrow(/^\/a\/dump\.rdb is of another server/);
  // Without a replica nothing is written, and before Redis 4 there is no id.
  for (const [mark, header] of [
    [own, own],
    [own, undefined],
    [own, none],
    ['', other],
    [none, other],
  ] as const) {
    expect(proven(mark, header)).not.toThrow();
  }
});

test('which server loads which', () => {
  expect(whyNotLoadable(10, { engine: 'redis', version: '7.1' })).toBeUndefined();
  expect(whyNotLoadable(9, { engine: 'valkey', version: '8.0' })).toBeUndefined();
  expect(whyNotLoadable(11, { engine: 'redis', version: '7.0' })).toMatch(/newer than what redis 7.0 loads \(10\)/);
  expect(whyNotLoadable(12, { engine: 'valkey', version: '9.0' })).toMatch(/no Valkey loads it/);
  expect(whyNotLoadable(80, { engine: 'valkey', version: '8.2' })).toMatch(/newer/);
  expect(whyNotLoadable(80, { engine: 'valkey', version: '9.0' })).toBeUndefined();
  expect(whyNotLoadable(80, { engine: 'redis', version: '8.8' })).toMatch(/newer/);
});

test('a server refuses what the table says that it refuses, and loads what it says that it loads', async () => {
  for (const [from, to] of [
    [made[0]!, made[1]!],
    [made[2]!, made[0]!],
    [made[1]!, made[0]!],
  ] as const) {
    const at = join(dir, `load-${from.version}-${to.version}`);
    mkdirSync(at);
    copyFileSync(
      join(dir, from.engine === 'valkey' ? 'nine' : from.version.startsWith('6') ? 'six' : 'seven', 'dump.rdb'),
      join(at, 'dump.rdb'),
    );
    const loads = await startRedis({ dir: at, flavour: to.engine }).then(
      async (server) => {
        const keys = await server.connect().dbsize();
        await server.stop();
        return keys > 0;
      },
      () => false,
    );
    expect(loads).toBe(whyNotLoadable(check(from.bytes).version, to) === undefined);
  }
});

test('a diskless stream ends at its mark, wherever the pieces end', async () => {
  const mark = Buffer.from('0123456789abcdef0123456789abcdef01234567');
  const body = Buffer.concat([
    Buffer.from('REDIS'),
    mark.subarray(0, 39),
    Buffer.from('x'),
    made[0]!.bytes.subarray(0, 500),
  ]);
  const all = Buffer.concat([body, mark, Buffer.from('*1\r\n$4\r\nPING\r\n')]);
  await fc.assert(
    fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 90 }), { minLength: 1, maxLength: 9 }), async (sizes) => {
      let at = 0;
      let i = 0;
      const bytes = async () => {
        const size = sizes[i++ % sizes.length]!;
        const piece = all.subarray(at, at + size);
        at += size;
        return piece.length > 0 ? piece : undefined;
      };
      const got: Buffer[] = [];
      for await (const piece of untilMark({ bytes, where: 'it' }, mark)) got.push(Buffer.from(piece));
      expect(Buffer.concat(got).equals(body)).toBe(true);
    }),
  );
  const cut = (async () => {
    let given = false;
    const bytes = async () => (given ? undefined : ((given = true), all.subarray(0, body.length + 39)));
    for await (const _ of untilMark({ bytes, where: 'it' }, mark));
  })();
  await expect(cut).rejects.toThrow(/closed the connection before the end of the RDB/);
});
