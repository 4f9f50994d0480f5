/** What retention must never do, over random backups and policies; and that its buckets are those of restic and borg. */
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { planRetention } from '../activities/retention/plan-retention.ts';
import { retention, type Retention, type RetentionCandidate } from '../spec/retention.ts';

const ZONES = ['UTC', 'Europe/Berlin', 'America/New_York', 'Asia/Tokyo', 'Pacific/Kiritimati'];
const HOUR = 3_600_000;
const NOW = Date.parse('2026-11-21T03:00:00Z');

const counts = fc.option(fc.nat(6), { nil: undefined });
const policies: fc.Arbitrary<Retention> = fc.record({
  keepLast: counts,
  daily: counts,
  weekly: counts,
  monthly: counts,
  yearly: counts,
  timeZone: fc.constantFrom(...ZONES),
});

/** Mostly hours apart, some at the very same time; over three years. */
const backups: fc.Arbitrary<RetentionCandidate[]> = fc
  .array(
    fc.record({
      hours: fc.oneof(fc.nat(96), fc.nat(3 * 365 * 24)),
      state: fc.constantFrom('complete', 'complete', 'complete', 'incomplete', 'pending'),
    }),
    { maxLength: 40 },
  )
  .map((found) =>
    found.map(({ hours, state }, n) => ({
      id: `b${n}`,
      createdAt: new Date(NOW - hours * HOUR).toISOString(),
      complete: state === 'complete',
      ...(state === 'pending' ? { pending: true } : {}),
    })),
  );

const kept = (all: RetentionCandidate[], policy: Retention) => {
  const decided = planRetention(all, policy);
  return all.filter((_, index) => decided[index]!.keep);
};
const ids = (all: RetentionCandidate[]) => all.map(({ id }) => id);
const complete = (all: RetentionCandidate[]) => all.filter((one) => one.complete && !one.pending);
const newestTime = (all: RetentionCandidate[]) => Math.max(...all.map(({ createdAt }) => Date.parse(createdAt)));

describe('over random backups and policies', () => {
  const holds = (check: (all: RetentionCandidate[], policy: Retention) => void) =>
    fc.assert(fc.property(backups, policies, check), { numRuns: 400 });

  test('a complete backup of the newest time is kept, whatever the policy', () =>
    holds((all, policy) => {
      if (complete(all).length === 0) return;
      const left = complete(kept(all, policy));
      expect(newestTime(left)).toBe(newestTime(complete(all)));
    }));

  test('decides about each, in their order, and says why', () =>
    holds((all, policy) => {
      const decided = planRetention(all, policy);
      expect(decided.map(({ id }) => id)).toEqual(ids(all));
      for (const { because } of decided) expect(because).not.toBe('');
    }));

  test('one under way is never deleted; an incomplete one exactly where a newer complete one exists', () =>
    holds((all, policy) => {
      const stays = new Set(ids(kept(all, policy)));
      const newest = complete(all).length > 0 ? newestTime(complete(all)) : -Infinity;
      for (const one of all) {
        if (one.pending) expect(stays).toContain(one.id);
        else if (!one.complete) expect(stays.has(one.id)).toBe(newest <= Date.parse(one.createdAt));
      }
    }));

  test('nothing complete that is newer than a kept complete one of keepLast goes', () =>
    holds((all, policy) => {
      const order = complete(all).sort((a, b) => Date.parse(b.createdAt) - Date.parse(a.createdAt));
      const stays = new Set(ids(kept(all, policy)));
      const least = Math.min(order.length, Math.max(1, policy.keepLast ?? 0));
      const nth = order[least - 1];
      if (!nth) return;
      const newer = order.filter(({ createdAt }) => Date.parse(createdAt) > Date.parse(nth.createdAt));
      for (const { id } of newer) expect(stays).toContain(id);
    }));

  test('run again on what was kept, it keeps all of it', () =>
    holds((all, policy) => {
      const once = kept(all, policy);
      expect(ids(kept(once, policy))).toEqual(ids(once));
    }));

  test('the order of the candidates changes nothing', () =>
    holds((all, policy) => {
      expect(ids(kept(all.toReversed(), policy)).toSorted()).toEqual(ids(kept(all, policy)).toSorted());
    }));

  test('a policy that asks for more keeps all that the smaller one kept', () => {
    const grow = fc.record({
      rule: fc.constantFrom(
        'keepLast' as const,
        'daily' as const,
        'weekly' as const,
        'monthly' as const,
        'yearly' as const,
      ),
      by: fc.integer({ min: 1, max: 4 }),
    });
    fc.assert(
      fc.property(backups, policies, grow, (all, policy, { rule, by }) => {
        const more = { ...policy, [rule]: (policy[rule] ?? 0) + by };
        expect(ids(kept(all, more))).toEqual(expect.arrayContaining(ids(kept(all, policy))));
      }),
      { numRuns: 400 },
    );
  });

  test('at most as many complete ones stay as the rules ask for together, and at least one', () =>
    holds((all, policy) => {
      const { keepLast = 0, daily = 0, weekly = 0, monthly = 0, yearly = 0 } = policy;
      const left = complete(kept(all, policy)).length;
      expect(left).toBeLessThanOrEqual(Math.max(1, keepLast + daily + weekly + monthly + yearly));
      expect(left).toBeGreaterThanOrEqual(Math.min(1, complete(all).length));
      expect(left).toBeGreaterThanOrEqual(Math.min(keepLast, complete(all).length));
    }));
});

describe('by example', () => {
  const policy = (more: Partial<Retention>): Retention => ({ timeZone: 'UTC', ...more });
  const at = (createdAt: string, id = createdAt): RetentionCandidate => ({ id, createdAt, complete: true });
  const keeps = (all: RetentionCandidate[], of: Partial<Retention>) =>
    planRetention(all, policy(of))
      .filter(({ keep }) => keep)
      .map(({ id, because }) => `${id}: ${because}`);

  test('daily: the newest of each day, and a day without any uses up nothing', () => {
    const all = ['2026-11-21T03:00:00Z', '2026-11-21T01:00:00Z', '2026-11-18T03:00:00Z', '2026-11-17T03:00:00Z'];
    expect(
      keeps(
        all.map((time) => at(time)),
        { daily: 2 },
      ),
    ).toEqual(['2026-11-21T03:00:00Z: daily 2026-11-21', '2026-11-18T03:00:00Z: daily 2026-11-18']);
  });

  test('a day begins and ends in the zone of the policy, also on the day of 25 hours', () => {
    // 23:30 on the 24th, and 00:30 and 23:30 on the 25th of October in Berlin: the last two are 24 hours apart.
    const all = [at('2026-10-24T21:30:00Z'), at('2026-10-24T22:30:00Z'), at('2026-10-25T22:30:00Z')];
    expect(keeps(all, { daily: 9, timeZone: 'Europe/Berlin' })).toEqual([
      '2026-10-24T21:30:00Z: daily 2026-10-24',
      '2026-10-25T22:30:00Z: daily 2026-10-25',
    ]);
    expect(keeps(all, { daily: 9 })).toEqual([
      '2026-10-24T22:30:00Z: daily 2026-10-24',
      '2026-10-25T22:30:00Z: daily 2026-10-25',
    ]);
  });

  test('weeks are ISO weeks: the first days of 2027 are in week 53 of 2026', () => {
    const all = [at('2026-12-31T03:00:00Z'), at('2027-01-03T03:00:00Z'), at('2027-01-04T03:00:00Z')];
    expect(keeps(all, { weekly: 5 })).toEqual([
      '2027-01-03T03:00:00Z: weekly 2026-W53',
      '2027-01-04T03:00:00Z: weekly 2027-W01',
    ]);
  });

  test('rules are told together; none asks for anything: the last complete one stays', () => {
    const all = [at('2026-11-20T03:00:00Z', 'old'), at('2026-11-21T03:00:00Z', 'new')];
    expect(keeps(all, { keepLast: 1, daily: 1, monthly: 1 })).toEqual([
      'new: keepLast 1, daily 2026-11-21, monthly 2026-11',
    ]);
    expect(keeps(all, { keepLast: 0 })).toEqual(['new: the last complete one']);
  });

  test('many incomplete ones never push out the last that is complete', () => {
    const broken = ['2026-11-20', '2026-11-21', '2026-11-22'].map((day) => ({
      ...at(`${day}T03:00:00Z`, day),
      complete: false,
    }));
    expect(keeps([...broken, at('2026-11-01T03:00:00Z', 'good')], { keepLast: 1, daily: 1 })).toEqual([
      ...broken.map(({ id }) => `${id}: incomplete, but no complete one is newer`),
      'good: keepLast 1, daily 2026-11-01',
    ]);
  });

  test('a time that can not be read, and a zone that is none', () => {
    const all = [{ ...at('yesterday', 'odd') }, at('2026-11-21T03:00:00Z', 'new')];
    expect(keeps(all, { keepLast: 1 })).toEqual([`odd: its time "yesterday" can't be read`, 'new: keepLast 1']);
    expect(() => planRetention(all, policy({ timeZone: 'Europe/Berln' }))).toThrow(
      'retention.timeZone: "Europe/Berln" is not a time zone',
    );
  });

  test.each([
    [{ daily: 7, timeZone: 'Europe/Berln' }, 'expected a time zone by its IANA name'],
    [{ daily: 7, timeZone: '+09:00' }, 'an offset knows no daylight saving'],
    [{ daily: 7, timeZone: 'europe/berlin' }, 'expected Europe/Berlin, letter by letter'],
    [{ keepLast: 0 }, 'else nothing would be kept'],
    [{ daily: -1 }, 'expected a whole number, 0 or more'],
    [{ daily: 1.5 }, 'expected a whole number'],
  ])('the file says %j: %s', (written, message) => {
    const { error } = retention.safeParse(written);
    expect(error?.issues.map((issue) => issue.message).join()).toContain(message);
  });
});
