/** `DualWriteRedis` on real servers: what is written where in each phase, holds, leases, failures of the second side. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import type { DualWriteRedis } from '../client/dual-write/index.ts';
import { dualClientName, dualKeys } from '../spec/dual-write.ts';
import { QUICK, hold, play } from './dual-write/play.ts';
import type { Play } from './dual-write/play.ts';
import { contents, until } from './stage/redis-copy.ts';

vi.setConfig({ testTimeout: 90_000 });

let p: Play;
beforeAll(async () => void (p = await play()), 60_000);
afterAll(() => p.stop(), 60_000);
beforeEach(() => p.reset());

/** A client that has read the phase. */
async function started(more: Parameters<Play['dual']>[0] = {}): Promise<DualWriteRedis> {
  const dual = p.dual(more);
  await dual.ready();
  return dual;
}
const equal = async () => expect(await contents(p.target)).toEqual(await contents(p.source));
const drained = (dual: DualWriteRedis) => until('nothing is under way', () => dual.status().pending === 0);

describe('phases', () => {
  test('source: only the source is written, nothing is recorded', async () => {
    const dual = await started();
    expect(await dual.set('k', '1')).toBe('OK');
    expect(await dual.hset('h', { a: 1, b: '2' })).toBe(2);
    expect(await dual.hgetall('h')).toEqual({ a: '1', b: '2' });
    expect(await p.t.dbsize()).toBe(0);
    expect(await p.touched()).toEqual([]);
    expect(dual.status()).toMatchObject({ phase: 'source', epoch: 0, reads: 'source', pending: 0 });
  });

  test('both: the target gets what came of a command, and the journal every key', async () => {
    const dual = await started();
    await p.phase('both');
    await dual.set('k', '1', 'EX', 100);
    await dual.incrbyfloat('f', 1.5);
    const member = Buffer.from([255, 254, 1]);
    await dual.sadd('s', 'a', member);
    await dual.spop('s', 2);
    await dual.sadd('s', 'a', 'b', member);
    const gone = await dual.spopBuffer('s', 1);
    const id = await dual.xadd('x', '*', 'f', 'v');
    expect(await dual.set('lock', 'mine', 'PX', 60_000, 'NX')).toBe('OK');
    expect(await dual.set('lock', 'yours', 'PX', 60_000, 'NX')).toBe(null);
    await dual.eval("redis.call('SET', KEYS[1], redis.call('TIME')[2])", 1, 'script');
    expect(await p.t.pexpiretime('k')).toBe(await p.s.pexpiretime('k'));
    expect(await p.t.ttl('k')).toBeGreaterThan(50);
    expect(await p.t.sismember('s', gone[0]!)).toBe(0);
    expect((await p.t.xrange('x', '-', '+'))[0]![0]).toBe(id);
    await equal();
    expect(await p.touched()).toEqual(['f', 'k', 'lock', 's', 'script', 'x']);
  });

  test('forward and back: in every phase reads see every acknowledged write, and the two are equal', async () => {
    const dual = await started();
    await dual.set('a', '0');
    await p.phase('both');
    await dual.set('a', '1');
    expect(await dual.get('a')).toBe('1');
    await p.phase('hold', { ...(await hold(p, 60_000)), reads: 'source' });
    const later = [dual.set('a', '2'), dual.append('a', '3'), dual.get('a')] as const;
    expect(await later[2]).toBe('1');
    expect(dual.status()).toMatchObject({ phase: 'hold', held: 2 });
    await p.phase('hold', { ...(await hold(p, 60_000)), reads: 'target' });
    expect(await dual.get('a')).toBe('1');
    expect(await p.s.get('a')).toBe('1');
    await p.phase('target-first');
    expect(await Promise.all(later)).toEqual(['OK', 2, '1']);
    expect(await dual.get('a')).toBe('23');
    expect(await p.touched('target')).toEqual(['a']);
    await equal();
    await p.phase('hold', { ...(await hold(p, 60_000, 'target-first')), reads: 'target' });
    await p.phase('hold', { ...(await hold(p, 60_000, 'target-first')), reads: 'source' });
    await p.phase('both');
    await dual.append('a', '4');
    expect(await p.s.get('a')).toBe('234');
    await equal();
    await p.phase('source');
    await dual.append('a', '5');
    expect([await p.s.get('a'), await p.t.get('a')]).toEqual(['2345', '234']);
  });

  test('target: the source is off and need not be there', async () => {
    const dual = await started();
    await p.phase('both');
    await p.phase('hold', { ...(await hold(p, 60_000)), reads: 'source' });
    await p.phase('hold', { ...(await hold(p, 60_000)), reads: 'target' });
    await p.phase('target-first', { leaseMs: 300 });
    await p.phase('target', { leaseMs: 300 });
    p.source.signal('SIGSTOP');
    try {
      const until = performance.now() + 1_000; // well past the lease
      while (performance.now() < until) await dual.incr('n');
    } finally {
      p.source.signal('SIGCONT');
    }
    expect(await p.s.exists('n')).toBe(0);
  });
});

describe('hold', () => {
  test('is bounded in number and time', async () => {
    const dual = await started({ maxHeld: 3, maxHoldMs: 300 });
    await p.phase('both');
    await p.phase('hold', { ...(await hold(p, 60_000)), reads: 'source' });
    const held = [1, 2, 3].map((n) => dual.set('k', n).catch((error: Error) => error.message));
    await expect(dual.set('k', 4)).rejects.toThrow(/3 wait already \(maxHeld\).*holds all writes/);
    expect(await Promise.all(held)).toEqual(
      Array.from({ length: 3 }, () => expect.stringContaining('it waited 300 ms')),
    );
    expect(await p.s.exists('k')).toBe(0);
  });

  test('that runs out falls back by itself, and can then not be moved on from', async () => {
    const dual = await started();
    await p.phase('both');
    await p.phase('hold', { ...(await hold(p, 1_500)), reads: 'source' });
    expect(await dual.set('k', '1')).toBe('OK');
    expect(dual.status().phase).toBe('both');
    await equal();
    expect(await p.change('hold', { ...(await hold(p, 60_000)), reads: 'target' })).toBe('late');
    // Begun anew, it goes on.
    await p.phase('hold', { ...(await hold(p, 60_000)), reads: 'source' });
    expect(await p.change('hold', { ...(await hold(p, 60_000)), reads: 'target' })).toBe('set');
  });

  test('with the reads turned runs out: they turn back at once, writes wait for the leases of the others', async () => {
    const dual = await started();
    await p.phase('both');
    await p.phase('hold', { ...(await hold(p, 60_000)), reads: 'source' });
    const second = await hold(p, 1_500);
    await p.phase('hold', { ...second, reads: 'target', leaseMs: 1_000 });
    const written = dual.set('k', '1').then(() => p.s.time());
    await until('the reads are back', () => dual.status().reads === 'source');
    expect(dual.status()).toMatchObject({ phase: 'hold', held: 1 });
    expect(await p.change('both')).toBe('early');
    const [seconds] = await written;
    expect(Number(seconds) * 1000 + 1_000).toBeGreaterThan(second.holdUntil! + 1_000);
    expect(await p.change('both')).toBe('set');
  });
});

describe('acknowledgements', () => {
  test('come after the writes of the older phase have ended, and go with the client', async () => {
    const dual = await started();
    await p.phase('both');
    const epoch = dual.status().acknowledgedEpoch;
    p.target.signal('SIGSTOP');
    try {
      const slow = dual.set('k', '1'); // the target does not answer
      await until('the source has it', async () => (await p.s.get('k')) === '1');
      expect(await p.change('hold', { ...(await hold(p, 60_000)), reads: 'source' })).toBe('set');
      await until('the hold is seen', () => dual.status().phase === 'hold');
      const [mine] = Object.values(await p.instances());
      expect(mine).toMatchObject({ epoch, phase: 'both', pending: 1 });
      await slow; // policy record: its time is over
      await p.acknowledged();
    } finally {
      p.target.signal('SIGCONT');
    }
    expect(Object.values(await p.instances())).toMatchObject([
      { phase: 'hold', pending: 0, recorded: 1, pid: process.pid },
    ]);
    await dual.close();
    expect(await p.instances()).toEqual({});
    await expect(dual.get('k')).rejects.toThrow(/closed/);
  });

  test('connections have the name by which a workflow can cut off an instance', async () => {
    await started({ instance: 'app-1' });
    for (const redis of [p.s, p.t]) {
      const list = (await redis.client('LIST')) as string;
      expect(list).toContain(`name=${dualClientName(p.id, 'app-1')} `);
    }
  });
});

describe('not knowing the phase', () => {
  test('the source stands still: reads and writes are refused once the lease is over, and go on when it is back', async () => {
    const dual = await started();
    await p.phase('both');
    await p.phase('hold', { ...(await hold(p, 60_000)), reads: 'source' });
    await p.phase('hold', { ...(await hold(p, 60_000)), reads: 'target' });
    await p.phase('target-first', { leaseMs: 600 });
    await dual.set('k', '0');
    p.source.signal('SIGSTOP');
    const began = performance.now();
    try {
      const refusal = await until2(() => dual.set('k', '1'));
      expect(refusal).toMatchObject({ name: 'DualWriteLeaseLost', written: false });
      // Lease, poll, and the second write of the last one.
      expect(performance.now() - began).toBeLessThan(600 + QUICK.pollMs + 2 * QUICK.writeTimeoutMs + 2_000);
      await expect(dual.get('k')).rejects.toThrow(/nothing is sent/);
    } finally {
      p.source.signal('SIGCONT');
    }
    await until('it knows the phase again', () =>
      dual.set('k', '2').then(
        () => true,
        () => false,
      ),
    );
    await drained(dual);
    expect([await p.s.get('k'), await p.t.get('k')]).toEqual(['2', '2']);
  });

  test('a control hash that is gone, or older than what was seen, is not believed', async () => {
    const dual = await started();
    await p.phase('both', { leaseMs: 300 });
    const { phase } = dualKeys(p.id);
    await p.s.hset(phase, 'epoch', 7);
    await until('it is seen', () => dual.status().epoch === 7);
    await p.s.hset(phase, 'epoch', 6);
    expect(await until2(() => dual.set('k', '1'))).toMatchObject({
      message: expect.stringContaining('epoch 6 after 7'),
    });
    await p.s.del(phase);
    await until('it is seen', () => dual.status().trouble.includes('is gone'));
    await p.s.hset(phase, { phase: 'both' });
    await until('it is seen', () => dual.status().trouble.includes('field reads'));
    await expect(dual.set('k', '1')).rejects.toThrow(/nothing is sent/);
  });

  test('the target remembers a phase that the source has lost: a late starter refuses', async () => {
    await p.t.hset(dualKeys(p.id).phase, 'phase', 'target-first');
    const dual = p.dual({ maxHoldMs: 1_000 });
    await expect(dual.set('k', '1')).rejects.toThrow(/its copy on the target says phase "target-first"/);
    expect(await p.s.exists('k')).toBe(0);
  });
});

/** Calls until it is refused, and gives the refusal. */
async function until2(attempt: () => Promise<unknown>): Promise<unknown> {
  let refused: unknown;
  await until('it is refused', () =>
    attempt().then(
      () => false,
      (error: unknown) => Boolean((refused = error)),
    ),
  );
  return refused;
}

describe('the target does not take it', () => {
  const failing = async (policy: 'fail' | 'queue' | 'record') => {
    const dual = await started({ secondWrite: policy });
    await p.phase('both');
    await dual.set('k', '0');
    await drained(dual); // with policy queue the answer does not wait for it
    const failures: unknown[] = [];
    dual.on('secondWriteFailed', (failure) => failures.push(failure));
    down = true;
    await p.target.kill();
    return { dual, failures };
  };
  let down = false;
  const back = async (): Promise<void> => {
    if (!down) return;
    down = false;
    await p.target.restart();
    await until('the target answers', () =>
      p.t.ping().then(
        () => true,
        () => false,
      ),
    );
  };

  afterEach(back);

  test('record: the application goes on, the journal has the key', async () => {
    const { dual, failures } = await failing('record');
    expect(await dual.append('k', '1')).toBe(2);
    expect(failures).toMatchObject([{ command: 'append', keys: ['k'] }]);
    expect(dual.status()).toMatchObject({ recorded: 1, failedSecondWrites: 1 });
    expect(await p.touched()).toEqual(['k']);
  });

  test('fail: the error says that the authority has it', async () => {
    const { dual } = await failing('fail');
    const error: unknown = await dual.append('k', '1').catch((failed: unknown) => failed);
    expect(error).toMatchObject({ name: 'DualWriteSecondWriteFailed', written: true, reply: 2 });
    expect(await p.s.get('k')).toBe('01');
    expect(await p.touched()).toEqual(['k']);
  });

  test('queue: it is carried over when the target is back, no write twice, none out of order', async () => {
    const { dual } = await failing('queue');
    await dual.append('k', '1');
    await dual.append('k', '2');
    const done = dual.multi().append('k', '3').set('other', 'x').exec();
    expect(await done).toEqual([
      [null, 4],
      [null, 'OK'],
    ]);
    await until('it waits for another try', () => dual.status().queued > 0);
    await back();
    await drained(dual);
    expect(await p.t.get('k')).toBe('0123');
    await equal();
  });

  test('queue: a change of the phase leaves the rest to the repair, and is acknowledged', async () => {
    const { dual } = await failing('queue');
    await dual.append('k', '1');
    await p.phase('source');
    expect(dual.status()).toMatchObject({ queued: 0, pending: 0, recorded: 1 });
    expect(await p.touched()).toEqual(['k']);
  });

  test('queue: a write whose first try is under way when the phase changes is given up with its phase', async () => {
    const dual = await started({ secondWrite: 'queue' });
    await p.phase('both');
    p.target.signal('SIGSTOP');
    try {
      await dual.append('k', '1');
      await p.phase('source');
      expect(dual.status()).toMatchObject({ queued: 0, pending: 0, recorded: 1 });
    } finally {
      p.target.signal('SIGCONT');
    }
    expect(await p.touched()).toEqual(['k']);
  });

  test('a state other than the source’s is replaced by it, not built upon', async () => {
    const dual = await started({ secondWrite: 'fail' });
    await p.s.rpush('l', 'a', 'b'); // before the dual write
    await p.t.set('l', 'not a list');
    await p.phase('both');
    await dual.rpush('l', 'c');
    await equal();
  });

  test('killed at any time: every key that differs is in the journal', async () => {
    await p.phase('both');
    const at = ({ host, port }: { host: string; port: number }) => ({ host, port });
    const argument = JSON.stringify({ id: p.id, source: at(p.source), target: at(p.target) });
    const app = fileURLToPath(new URL('./dual-write/writer-app.ts', import.meta.url));
    const child = spawn(process.execPath, ['--import', import.meta.resolve('tsx'), app, argument], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const ended = once(child, 'exit');
    try {
      for (let rounds = 0; rounds < 3; rounds++) await once(child.stdout, 'data');
    } finally {
      child.kill('SIGKILL');
      await ended;
    }
    // What it had sent may still be under way in the servers.
    for (const redis of [p.s, p.t]) {
      await until(
        'its connections are gone',
        async () => !String(await redis.client('LIST')).includes(`cutover-dual:${p.id}`),
      );
    }
    const [source, target] = await Promise.all([contents(p.source), contents(p.target)]);
    const different = [...source].filter(([key, value]) => target.get(key) !== value).map(([key]) => key.slice(2));
    expect(source.size).toBe(80);
    const journal = new Set(await p.touched());
    expect(different.filter((key) => !journal.has(key))).toEqual([]);
    expect(journal.size).toBe(80);
  });
});
