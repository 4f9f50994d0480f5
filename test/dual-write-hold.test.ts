/** Reads that were turned in a hold and back: nobody writes at the authority while another may still read the other side. */
import * as fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { ControlKey } from '../activities/redis/dual-write/control.ts';
import { releaseHold } from '../activities/redis/dual-write/hold.ts';
import {
  authorityOf,
  changeArguments,
  decodeControl,
  DUAL_MARGIN_MS,
  dualKeys,
  effectiveControl,
  encodeControl,
  encodeInstance,
  holdOver,
  noControl,
  otherSide,
  type DualControl,
  type HoldFrom,
} from '../spec/dual-write.ts';
import { redisDualWrite } from '../spec/kind-redis-dual-write.ts';
import { hold, play } from './dual-write/play.ts';
import type { Play } from './dual-write/play.ts';
import { dualInstance } from './stage/dual-instance.ts';
import { until } from './stage/redis-copy.ts';

vi.setConfig({ testTimeout: 60_000 });

const from = fc.constantFrom<HoldFrom>('both', 'target-first');
const time = fc.integer({ min: 1, max: 20_000 });
const held = fc
  .record({ from, holdUntil: time, readsUntil: fc.option(time, { nil: undefined }), turned: fc.boolean() })
  .map(({ from: holdFrom, holdUntil, readsUntil, turned }): DualControl => {
    const control = { ...noControl(), phase: 'hold' as const, epoch: 7, holdFrom, holdUntil };
    const authority = authorityOf(control);
    return { ...control, reads: turned ? otherSide(authority) : authority, ...(readsUntil ? { readsUntil } : {}) };
  });

describe('without a server', () => {
  test('writes go on after the hold, and when nobody can read from the other side any more', () => {
    fc.assert(
      fc.property(held, time, (control, now) => {
        const { phase, reads, ...rest } = effectiveControl(control, now);
        const lastRead = control.reads === authorityOf(control) ? 0 : control.holdUntil! + control.leaseMs;
        const over =
          now >= Math.max(control.holdUntil!, control.readsUntil ?? 0, lastRead && lastRead + DUAL_MARGIN_MS);
        expect(phase).toBe(over ? control.holdFrom : 'hold');
        expect(reads).toBe(now >= control.holdUntil! ? authorityOf(control) : control.reads);
        expect('readsUntil' in rest).toBe(!over && control.readsUntil !== undefined);
        expect(now >= holdOver(control)).toBe(over);
      }),
    );
  });

  test('it is kept in the hash for as long as the hold is, and a hash without it is understood', () => {
    fc.assert(
      fc.property(held, (control) => {
        expect(decodeControl(encodeControl(control))).toEqual(control);
        const anew = { ...control, holdUntil: 30_000, readsUntil: 1, reads: authorityOf(control) };
        const again = changeArguments('m', control, anew);
        const back = control.reads !== anew.reads;
        expect(again.control.readsUntil).toBe(back ? undefined : control.readsUntil);
        expect(again.args[3]).toBe(back ? String(control.leaseMs + DUAL_MARGIN_MS) : '');
        const released = { ...control, phase: control.holdFrom!, reads: authorityOf(control) };
        expect(changeArguments('m', control, released).control).not.toHaveProperty('readsUntil');
        const earliest = back ? holdOver(control) : control.readsUntil;
        expect(changeArguments('m', control, released).args[2]).toBe(String(earliest ?? ''));
        expect(changeArguments('m', control, released, true).args[2]).toBe(back ? String(earliest) : '');
      }),
    );
    const odd = { ...encodeControl({ ...noControl(), phase: 'hold', epoch: 1, holdFrom: 'both', holdUntil: 1 }) };
    expect(() => decodeControl({ ...odd, readsUntil: 'soon' })).toThrow(/field readsUntil/);
  });
});

describe('on servers', () => {
  let p: Play;
  beforeAll(async () => void (p = await play()), 60_000);
  afterAll(() => p.stop(), 60_000);
  beforeEach(() => p.reset());

  /** As the workflow's steps, up to a hold with the reads turned. */
  async function turned(key: ControlKey, holdFrom: HoldFrom, leaseMs: number): Promise<DualControl> {
    let control = (await key.read()).control;
    const step = async (to: Parameters<ControlKey['change']>[1]) => void (control = await key.change(control, to));
    const { holdUntil } = (await hold(p, 60_000)) as { holdUntil: number };
    await step({ phase: 'both', reads: 'source', leaseMs });
    await step({ phase: 'hold', holdFrom: 'both', holdUntil, reads: 'source' });
    await step({ phase: 'hold', holdFrom: 'both', holdUntil, reads: 'target' });
    if (holdFrom === 'both') return control;
    await step({ phase: 'target-first', reads: 'target' });
    await step({ phase: 'hold', holdFrom, holdUntil, reads: 'target' });
    await step({ phase: 'hold', holdFrom, holdUntil, reads: 'source' });
    return control;
  }
  const open = () =>
    ControlKey.open(
      redisDualWrite.parse({
        kind: 'redis-dual-write',
        id: p.id,
        source: { host: p.source.host, port: p.source.port },
        target: { host: p.target.host, port: p.target.port },
      }),
    );
  const instance = (control: DualControl) =>
    p.s.hset(
      dualKeys(p.id).instances,
      'one',
      encodeInstance(dualInstance({ epoch: control.epoch, phase: 'hold', reads: control.reads })),
    );
  const backFrom = ({ holdUntil }: DualControl, holdFrom: HoldFrom) =>
    ({ phase: 'hold', holdFrom, holdUntil: holdUntil!, reads: authorityOf({ phase: 'hold', holdFrom }) }) as const;

  test.each(['both', 'target-first'] as const)(
    'a release whose worker died after it had turned the reads back (%s) is not finished while somebody may read there',
    async (holdFrom) => {
      const key = await open();
      try {
        const control = await turned(key, holdFrom, 1_000);
        await instance(control); // it has acknowledged that it reads the other side, and stands still
        const { nowMs } = await key.read();
        const back = await key.change(control, backFrom(control, holdFrom)); // and the worker dies
        expect(back.readsUntil).toBeGreaterThanOrEqual(nowMs + 1_000 + DUAL_MARGIN_MS);
        expect((await key.read()).control).toEqual(back);
        expect(await p.change(holdFrom)).toBe('early');
        expect(await releaseHold(key)).toMatchObject({ phase: holdFrom, reads: back.reads, epoch: back.epoch + 1 });
        const now = await key.read();
        expect(now.nowMs).toBeGreaterThanOrEqual(back.readsUntil!);
        expect(now.control).not.toHaveProperty('readsUntil');
      } finally {
        key.close();
      }
    },
  );

  test('where every instance has acknowledged the turned-back reads, nothing is waited for', async () => {
    const key = await open();
    try {
      const control = await turned(key, 'both', 60_000);
      const back = await key.change(control, backFrom(control, 'both'));
      await instance(back);
      expect(await releaseHold(key)).toMatchObject({ phase: 'both', epoch: back.epoch + 1 });
      expect((await key.read()).nowMs).toBeLessThan(back.readsUntil!);
    } finally {
      key.close();
    }
  });

  test('a hold that runs out after the reads were turned back: instances write when nobody can read there any more', async () => {
    const dual = p.dual();
    await dual.ready();
    await p.phase('both');
    await p.phase('hold', { ...(await hold(p, 60_000)), reads: 'source' });
    await p.phase('hold', { ...(await hold(p, 60_000)), reads: 'target', leaseMs: 1_000 });
    expect(await p.change('hold', { ...(await hold(p, 50)), reads: 'source', leaseMs: 1_000 })).toBe('set');
    const { holdUntil, readsUntil } = await p.control();
    expect(readsUntil).toBeGreaterThan(holdUntil! + 1_000);
    const written = dual.set('k', '1').then(() => p.s.time());
    await until('the reads are back', () => dual.status().reads === 'source');
    const [seconds, micros] = await written;
    expect(Number(seconds) * 1000 + Number(micros) / 1000).toBeGreaterThanOrEqual(readsUntil!);
    expect(await p.change('both')).toBe('set');
  });
});
