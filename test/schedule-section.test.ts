/** The `schedule` section of a file: what is taken, and what is wrong with the rest, said so that it can be mended. */
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { sectionAsWritten, sectionInWords, sectionOf } from '../client/schedule-section.ts';
import { parseMigration } from '../client/migration-file.ts';
import { problemText } from '../client/file-problem.ts';
import type { WrongFile } from '../client/errors.ts';
import { schedule } from '../spec/schedule.ts';

const problems = (written: unknown) =>
  schedule.safeParse(written).error?.issues.map(({ path, message }) => `${path.join('.')}: ${message}`) ?? [];

describe('is taken', () => {
  test.each([
    [{ cron: '0 3 * * *' }, 'cron 0 3 * * *'],
    [{ cron: '@daily' }, 'cron @daily'],
    [{ cron: '*/15 9-17 * * mon-fri' }, 'cron */15 9-17 * * mon-fri'],
    [{ calendar: { hour: 3 } }, '03:00'],
    [{ calendar: { hour: 3, minute: 30, dayOfWeek: ['monday-friday'] } }, 'monday-friday 03:30'],
    [{ calendar: { hour: '9-17', minute: '*/15', dayOfWeek: ['sat', 'sun'] } }, 'sat,sun hour 9-17, minute */15'],
    [
      {
        calendar: [
          { hour: 3, dayOfMonth: 1 },
          { hour: 4, dayOfWeek: 'sunday' },
        ],
      },
      'day 1 03:00; sunday 04:00',
    ],
    [{ every: '6h' }, 'every 6h'],
    [{ every: '90m', offset: '10m' }, 'every 90m, 10m after'],
  ])('%j: %s', (written, words) => {
    const section = schedule.parse(written);
    expect(sectionInWords(section)).toBe(words);
    // As it is shown it can be pasted into a file, and means the same.
    expect(schedule.parse(sectionAsWritten(section))).toEqual(section);
  });

  test('what is left out: UTC, skip, an hour of catch-up', () => {
    expect(schedule.parse({ cron: '0 3 * * *' })).toEqual({
      cron: '0 3 * * *',
      timeZone: 'UTC',
      overlap: 'skip',
      catchUp: 3_600_000,
      pauseOnFailure: false,
    });
  });
});

describe('is refused', () => {
  test.each([
    [{}, /one of cron, calendar or every/],
    [{ cron: '0 3 * * *', every: '6h' }, /one of cron, calendar or every/],
    [{ cron: '0 3 * *' }, /a cron line of 5 fields/],
    [{ cron: '0 0 3 * * *' }, /a cron line of 5 fields/],
    [{ cron: '60 3 * * *' }, /minute "60" is not one of 0 to 59/],
    [{ cron: '0 24 * * *' }, /hour "24" is not one of 0 to 23/],
    [{ cron: '0 3 * * funday' }, /day of the week "funday" is not one of/],
    [{ cron: '0 3 * * sat-sun' }, /sat-sun runs backwards: write it as a list, saturday,sunday/],
    [{ cron: '0 22-2 * * *' }, /22-2 runs backwards: write it as a list, 22-23,0-2/],
    [{ cron: '0 3 1 * mon' }, /not both: cron runs when either fits, Temporal when both do/],
    [{ cron: 'TZ=Asia/Tokyo 0 3 * * *' }, /its time zone goes into timeZone/],
    [{ cron: '@every 6h' }, /an interval is written as every: 6h/],
    [{ calendar: { hour: 3, dayOfWeek: 1 } }, /day of the week "1" is not one of sunday, monday/],
    [{ calendar: { hour: 3, month: 'november-february' } }, /runs backwards.*november-december,january-february/],
    [{ calendar: { hours: 3 } }, /Unrecognized key/],
    [{ calendar: [] }, /./],
    [{ every: '6' }, /a duration such as/],
    [{ every: '500ms' }, /at least 1s/],
    [{ every: '1500ms' }, /whole seconds/],
    [{ every: '1h', offset: '1h' }, /an offset shorter than every/],
    [{ cron: '@daily', offset: '1h' }, /no offset without every/],
    [{ every: '6h', timeZone: 'Europe/Berlin' }, /no timeZone with every/],
    [{ cron: '@daily', timeZone: 'Berlin' }, /a time zone by its IANA name/],
    [{ cron: '@daily', timeZone: '+01:00' }, /an offset knows no daylight saving/],
    [{ cron: '@daily', catchUp: '5s' }, /at least 10s/],
    [{ cron: '@daily', overlap: 'queue' }, /./],
    [{ cron: '@daily', startAt: '2026-12-01' }, /a date and time with offset/],
    [{ cron: '@daily', startAt: '2026-12-02T00:00:00Z', endAt: '2026-12-01T00:00:00Z' }, /a time after startAt/],
    [{ cron: '@daily', remainingActions: 0 }, /./],
  ])('%j', (written, message) => {
    expect(problems(written).join('\n')).toMatch(message);
  });
});

describe('with the command line', () => {
  const backup = (id: string, more = '') =>
    parseMigration(`kind: elasticache-backup\nid: ${id}\nreplicationGroup: shop\n${more}`, 'm.yaml');
  const nightly = backup('nightly', 'schedule: { every: 6h, offset: 10m, overlap: buffer-one }\n');

  test("the file's section, or none of it with --cron", () => {
    expect(sectionOf(nightly)).toMatchObject({ every: 21_600_000, overlap: 'buffer-one' });
    const section = sectionOf(nightly, { cron: '0 3 * * *', timeZone: 'Europe/Berlin', catchUp: '2h' });
    expect(section).toEqual({
      cron: '0 3 * * *',
      timeZone: 'Europe/Berlin',
      overlap: 'buffer-one',
      catchUp: 7_200_000,
      pauseOnFailure: false,
    });
  });

  const restore = (kind: string, more: string) => parseMigration(`kind: ${kind}\nid: again\n${more}`, 'm.yaml');

  test.each([
    // A schedule of the command line must not get past what the file would be refused for.
    [
      restore('elasticache-restore', 'from: { snapshot: s }\nto: { replicationGroup: shop-2 }\n'),
      { cron: '@daily' },
      'it is a restore and no drill',
    ],
    [backup('nightly', 'snapshotName: mine\n'), { cron: '@daily' }, 'would find its snapshotName taken'],
    [backup('nightly'), {}, 'does not say when it runs'],
    [backup('nightly'), { timeZone: 'UTC' }, 'does not say when it runs'],
    [nightly, { timeZone: 'Berlin', cron: '@daily' }, 'timeZone: expected a time zone by its IANA name'],
    [nightly, { cron: 'daily' }, 'cron: expected a cron line of 5 fields'],
    [backup('a-name-of-five-and-twenty'), { cron: '@daily' }, "has 25 characters: a schedule's has at most 24"],
    [
      parseMigration(
        'kind: redis-online\nid: shop\nengine: replicaof\nsource: { host: a }\ntarget: { host: b }\n',
        'm',
      ),
      { cron: '@daily' },
      'nobody is there to approve its gate',
    ],
  ])('refused: %#', (file, overrides, message) => {
    expect(() => sectionOf(file, overrides)).toThrow(message);
  });

  test.each(readdirSync('examples').filter((name) => /-(backup|export|export-article|drill)\.yaml$/.test(name)))(
    'the example %s can be put on a schedule',
    (name) => {
      const migration = parseMigration(readFileSync(`examples/${name}`, 'utf8'), name, 'examples');
      expect(sectionOf(migration, { cron: '@daily' }).cron).toBe('@daily');
    },
  );

  test('a section in a file whose kind has none says why', () => {
    const text = 'kind: redis-online\nid: shop\nengine: replicaof\nsource: { host: a }\ntarget: { host: b }\n';
    let shown: string[] = [];
    try {
      parseMigration(`${text}schedule: { cron: "@daily" }\n`, 'm.yaml');
    } catch (error) {
      shown = (error as WrongFile).problems.map(problemText);
    }
    expect(shown).toEqual([
      expect.stringMatching(
        /^m\.yaml:6:1: schedule: redis-online has no schedule: only backups, exports and restore drills/,
      ),
    ]);
  });
});
