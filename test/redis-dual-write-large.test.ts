/**
 * Dual write with one hash that is there before the backfill, and is written all the time. Not part of every run:
 *   DUAL_WRITE_LARGE_FIELDS=1000000 npx vitest run test/redis-dual-write-large.test.ts
 */
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { MigrationStatus } from '../spec/status.ts';
import { openDualScene, withRedis } from './stage/dual-write.ts';
import { atGate, isDone, Stage, untilStatus } from './stage/stage.ts';

const FIELDS = Number(process.env['DUAL_WRITE_LARGE_FIELDS'] ?? 0);
const KEY = 'a large hash';
const LONG_MS = 300_000;

let stage: Stage;
beforeAll(async () => {
  if (FIELDS === 0) return;
  stage = await Stage.open();
  await stage.worker();
});
afterAll(() => stage?.close());

const at = (gate: string) => (status: MigrationStatus) => atGate(status) && status.gate?.id === gate;
const original = (field: number) => `value of ${field}`;

test.skipIf(FIELDS === 0)(
  `a hash of ${FIELDS} fields, set and deleted in while it is copied: every field as it was acknowledged`,
  async () => {
    const scene = await openDualScene(stage, {
      id: 'dual-large',
      rate: 100,
      // What is written all the time is copied whole behind the hold.
      more: { cutover: { budgets: { hold: '8s', drain: '120s' } } },
      prepare: ({ source }) => withRedis(source, fill),
    });
    const instance = await scene.instance('one', { big: { key: KEY, fields: FIELDS } });
    const handle = await scene.start();
    await untilStatus(handle, 'the first gate', at('approve-reads'), LONG_MS);
    await handle.approve({ by: 'test' });
    await untilStatus(handle, 'the second gate', at('approve-source-off'), LONG_MS);
    await handle.approve({ by: 'test' });
    const done = await untilStatus(handle, 'done', isDone, LONG_MS);
    await instance.end();
    const last = new Map<string, string>();
    const unsure = new Set<string>();
    for (const [what, kind, field = '', value = ''] of scene.seen()) {
      if (kind !== 'field') continue;
      if (what === 'try') unsure.add(field);
      else if (what === 'ack') {
        unsure.delete(field);
        last.set(field, value);
      }
    }
    console.log(
      `${last.size} fields written; ${unsure.size} of unknown outcome; ${JSON.stringify(done.cutovers.map(({ outcome, writePauseMs }) => [outcome, writePauseMs]))}; ${JSON.stringify(done.report['compare'])}`,
    );
    expect(last.size).toBeGreaterThan(500);
    const there = await withRedis(scene.target, everyField);
    const wrong: string[] = [];
    for (let i = 0; i < FIELDS; i++) {
      const field = `field-${i}`;
      if (unsure.has(field)) continue;
      const expected = last.get(field) ?? original(i);
      if ((there.get(field) ?? '-') !== expected) wrong.push(`${field}: ${there.get(field)}, not ${expected}`);
    }
    expect(wrong.slice(0, 10)).toEqual([]);
    expect(there.size).toBeLessThanOrEqual(FIELDS);
    await scene.close();
  },
  4 * LONG_MS,
);

async function fill(redis: Redis): Promise<void> {
  for (let from = 0; from < FIELDS; from += 10_000) {
    const some = Array.from({ length: Math.min(10_000, FIELDS - from) }, (_, i) => from + i);
    await redis.hset(KEY, ...some.flatMap((i) => [`field-${i}`, original(i)]));
  }
}

async function everyField(redis: Redis): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  let cursor = '0';
  do {
    const [next, flat] = await redis.hscan(KEY, cursor, 'COUNT', 10_000);
    for (let i = 0; i + 1 < flat.length; i += 2) found.set(flat[i]!, flat[i + 1]!);
    cursor = next;
  } while (cursor !== '0');
  return found;
}
