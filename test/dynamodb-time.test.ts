/** The article's parameters, read as Python reads them; the prefix; what is restorable. Pure. */
import { ApplicationFailure } from '@temporalio/common';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { clientToken, madeBy } from '../activities/dynamodb/client-token.ts';
import { prefixOf } from '../activities/dynamodb/export-prefix.ts';
import { askedTime, type GivenTime } from '../activities/dynamodb/export-time.ts';
import { canonical, numberForm } from '../activities/dynamodb/item-form.ts';
import { pythonInt } from '../activities/dynamodb/python-int.ts';
import { exportMeaning, importMeaning, tableMeaning } from '../activities/dynamodb/status-table.ts';
import { clamp } from '../activities/dynamodb/window.ts';
import type { DynamoDbRestore } from '../spec/kind-dynamodb-restore.ts';
import { migrationFile } from '../spec/migration.ts';
import { dynamodbRestorePlan } from '../workflows/dynamodb-restore-plan.ts';

/** 2026-11-21 08:30 in Tokyo, and still the 20th in UTC. */
const NOW = '2026-11-20T23:30:00.000Z';
const given = (more: Partial<GivenTime>): GivenTime => ({ day: '0', hour: '3', minute: '0', second: '0', ...more });

describe('the time that the parameters name', () => {
  test.each<[string, Partial<GivenTime>, string]>([
    ['day 0 is today in the zone, not in UTC', { day: '0' }, '2026-11-20T18:00:00.000Z'],
    ['day 0 as a number of the file', { day: 0, hour: 3, minute: 0, second: 0 }, '2026-11-20T18:00:00.000Z'],
    ['EVERYDAY is today', { day: 'EVERYDAY' }, '2026-11-20T18:00:00.000Z'],
    ['an empty day is today', { day: '' }, '2026-11-20T18:00:00.000Z'],
    ['7.5 is no number for Python: today', { day: '7.5' }, '2026-11-20T18:00:00.000Z'],
    ['a day of this month', { day: '7' }, '2026-11-06T18:00:00.000Z'],
    ['blanks around it', { day: ' 7 ' }, '2026-11-06T18:00:00.000Z'],
    ['a sign', { day: '+7' }, '2026-11-06T18:00:00.000Z'],
    ['a leading zero', { day: '07' }, '2026-11-06T18:00:00.000Z'],
    ['full-width digits', { day: '17' }, '2026-11-16T18:00:00.000Z'],
    ['a line break that was pasted along', { hour: '3\n' }, '2026-11-20T18:00:00.000Z'],
    ['a day to come is taken as it is (and moved later)', { day: '30' }, '2026-11-29T18:00:00.000Z'],
    ['the last second of the day', { hour: '23', minute: '59', second: '59' }, '2026-11-21T14:59:59.000Z'],
    ['another zone, an hour from UTC', { timeZone: 'Europe/Berlin', hour: '22' }, '2026-11-21T21:00:00.000Z'],
    ['UTC', { timeZone: 'UTC' }, '2026-11-20T03:00:00.000Z'],
  ])('%s', (_what, parameters, expected) => {
    const now = parameters.timeZone === 'Europe/Berlin' ? '2026-11-21T10:00:00Z' : NOW;
    expect(askedTime(given(parameters), now)).toMatchObject({ at: expected, warnings: [] });
  });

  test.each<[string, Partial<GivenTime>, RegExp]>([
    ['hour that is no number', { hour: 'three' }, /hour is "three": expected a whole number/],
    ['minute that is no number', { minute: '' }, /minute is "": expected a whole number/],
    ['second that is no whole number', { second: '7.5' }, /second is "7.5": expected a whole number/],
    ['a number as JavaScript reads it', { hour: '0x3' }, /hour is "0x3"/],
    ['hour 24', { hour: '24' }, /hour is "24": expected 0 to 23/],
    ['minute 60', { minute: '60' }, /minute is "60": expected 0 to 59/],
    ['second -1', { second: '-1' }, /second is "-1": expected 0 to 59/],
    ['day 32', { day: '32' }, /day is "32": expected 1 to 31, or 0 for every day/],
    ['day -1', { day: '-1' }, /day is "-1": expected 1 to 31, or 0 for every day/],
    ['a day that the month does not have', { day: '31' }, /day is "31": 2026-11 has no day 31, only 30/],
    ['the hour is looked at before the day', { day: '31', hour: 'x' }, /hour is "x"/],
    ['a zone that is none', { timeZone: 'Asia/Tokio' }, /timeZone is "Asia\/Tokio"/],
    ['an offset for a zone', { timeZone: '+09:00' }, /timeZone is "\+09:00"/],
  ])('%s is an error of its own', (_what, parameters, message) => {
    expect(() => askedTime(given(parameters), NOW)).toThrow(message);
    try {
      askedTime(given(parameters), NOW);
    } catch (error) {
      expect(error).toBeInstanceOf(ApplicationFailure);
      expect(error).toMatchObject({ type: 'cutover.Invalid', nonRetryable: true });
    }
  });

  test('the 29th of February is a day of a leap year alone', () => {
    expect(askedTime(given({ day: '29' }), '2028-02-10T00:00:00Z').at).toBe('2028-02-28T18:00:00.000Z');
    expect(() => askedTime(given({ day: '29' }), '2027-02-10T00:00:00Z')).toThrow(/2027-02 has no day 29, only 28/);
  });

  test('a time that the clocks leave out, and one that they have twice, are said', () => {
    const spring = askedTime(given({ hour: 2, minute: 30, timeZone: 'America/New_York' }), '2026-03-08T12:00:00Z');
    expect(spring).toMatchObject({ at: '2026-03-08T07:30:00.000Z' });
    expect(spring.warnings[0]).toMatch(/02:30:00 does not exist in America\/New_York/);
    const autumn = askedTime(given({ hour: 1, minute: 30, timeZone: 'America/New_York' }), '2026-11-01T12:00:00Z');
    expect(autumn).toMatchObject({ at: '2026-11-01T05:30:00.000Z' });
    expect(autumn.warnings[0]).toMatch(/exists twice/);
  });

  test('which day was taken for today is told', () => {
    expect(askedTime(given({ day: 'EVERYDAY' }), NOW).notes).toEqual([
      'day "EVERYDAY" is not a number: today, 2026-11-21, is taken',
    ]);
  });

  test('a value of a SecureString that is no good one is not shown', () => {
    for (const name of ['day', 'hour', 'minute', 'second', 'timeZone']) {
      const secret = given({ [name]: name === 'day' ? '77' : 'hunter2', hidden: [name] });
      expect(() => askedTime(secret, NOW)).toThrow(`${name} is [value of a SecureString]: `);
      expect(() => askedTime(secret, NOW)).not.toThrow(/hunter2|77/);
    }
    const { notes } = askedTime(given({ day: 'hunter2', hidden: ['day'] }), NOW);
    expect(notes).toEqual(['day [value of a SecureString] is not a number: today, 2026-11-21, is taken']);
  });

  test('now, and a time with its offset', () => {
    expect(askedTime('now', NOW)).toEqual({ zone: 'UTC', notes: [], warnings: [] });
    expect(askedTime('2026-11-21T03:00:00+09:00', NOW)).toMatchObject({
      at: '2026-11-20T18:00:00.000Z',
      zone: 'UTC+9',
    });
  });
});

test.each<[string, number | undefined]>([
  ['7', 7],
  ['-0', 0],
  ['1_0', 10],
  ['\u00857', 7],
  ['\u00a07', 7],
  ['٣', 3],
  ['𝟗', 9],
  ['1__0', undefined],
  ['_1', undefined],
  ['1_', undefined],
  ['- 7', undefined],
  ['1e1', undefined],
  ['\ufeff7', undefined],
  ['\u200b7', undefined],
  ['〇7', undefined],
  ['Infinity', undefined],
])('int(%j) is Python’s: %s', (text, expected) => {
  expect(pythonInt(text)).toBe(expected);
});

test('the prefix is dated in the zone, and tokens count only where they stand alone', () => {
  const of = { table: 'orders', id: 'nightly', at: '2026-11-20T18:00:00.000Z', zone: 'Asia/Tokyo' };
  expect(prefixOf('YYYY/MM/DD/<table>', of)).toBe('2026/11/21/orders');
  expect(prefixOf('YYYY/MM/DD/<table>', { ...of, zone: 'UTC' })).toBe('2026/11/20/orders');
  expect(prefixOf('COMMON/YYYY-MM-DD-hhmm/<id>/<table>', of)).toBe('COMMON/2026-11-21-hhmm/nightly/orders');
  expect(prefixOf('YYYYMMDD/hh-mm-ss', of)).toBe('YYYYMMDD/03-00-00');
  expect(prefixOf('<table>', { ...of, table: 'YYYY-MM' })).toBe('YYYY-MM');
});

test('a time outside of what is restorable is moved to its edge, and that is said', () => {
  const window = { earliest: '2026-11-01T00:00:00.000Z', latest: '2026-11-20T12:00:00.000Z' };
  expect(clamp(undefined, window)).toEqual({ at: window.latest });
  expect(clamp('2026-11-10T00:00:00.000Z', window)).toEqual({ at: '2026-11-10T00:00:00.000Z' });
  expect(clamp('2026-11-20T18:00:00.000Z', window)).toMatchObject({ at: window.latest, moved: /not restorable yet/ });
  expect(clamp('2026-10-20T18:00:00.000Z', window)).toMatchObject({ at: window.earliest, moved: /any more/ });
});

test('every status has a meaning; one that nobody knows is waited out, with a warning', () => {
  expect(['IN_PROGRESS', 'COMPLETED', 'FAILED'].map((s) => exportMeaning(s).meaning)).toEqual([
    'pending',
    'ok',
    'failed',
  ]);
  expect(['CANCELLING', 'CANCELLED', 'COMPLETED'].map((s) => importMeaning(s).meaning)).toEqual([
    'pending',
    'failed',
    'ok',
  ]);
  expect(tableMeaning('INACCESSIBLE_ENCRYPTION_CREDENTIALS').meaning).toBe('ask');
  for (const odd of ['PAUSED', 'toString', undefined]) {
    expect(exportMeaning(odd)).toMatchObject({ meaning: 'pending', warning: /not known here/ });
  }
});

test('a token tells whose it is, and is another for each table and try', () => {
  const of = { migrationId: 'nightly', run: '0a-1', subject: 'arn:a', attempt: 1 };
  expect(madeBy(clientToken(of))).toEqual({ migration: 'nightly', run: '0a-1' });
  expect(clientToken(of)).toBe(clientToken({ ...of }));
  expect(
    new Set([of, { ...of, attempt: 2 }, { ...of, subject: 'arn:b' }, { ...of, run: 'x' }].map(clientToken)).size,
  ).toBe(4);
  expect(clientToken({ ...of, migrationId: 'a'.repeat(40), run: 'b'.repeat(36) }).length).toBeLessThan(128);
  expect(madeBy('0b9f4d5e-0000-4000-8000-000000000000')).toBeUndefined();
  expect(madeBy(undefined)).toBeUndefined();
});

test('items are equal whatever the order of their attributes and sets, however their numbers are written', () => {
  const line = {
    b: { N: '1.50' },
    a: { SS: ['y', 'x'] },
    c: { B: 'AQI=' },
    d: { M: { k: { L: [{ BOOL: true }, { NULL: true }] } } },
  };
  const read = {
    a: { SS: ['x', 'y'] },
    d: { M: { k: { L: [{ BOOL: true }, { NULL: true }] } } },
    c: { B: Uint8Array.of(1, 2) },
    b: { N: '15E-1' },
  };
  expect(canonical(line)).toBe(canonical(read));
  expect(canonical({ a: { N: '1' } })).not.toBe(canonical({ a: { S: '1' } }));
  expect(canonical({ a: { L: [{ N: '1' }, { N: '2' }] } })).not.toBe(canonical({ a: { L: [{ N: '2' }, { N: '1' }] } }));
  expect(numberForm('12345678901234567890123456789012345678')).not.toBe(
    numberForm('12345678901234567890123456789012345679'),
  );
  fc.assert(
    fc.property(fc.integer(), fc.integer({ min: -20, max: 20 }), (digits, power) => {
      expect(numberForm(`${digits}e${power}`)).toBe(numberForm(`${digits}0e${power - 1}`));
      expect(numberForm(`${digits}`) === numberForm(`${digits + 1}`)).toBe(false);
    }),
  );
});

test('a rehearsal can not skip what it is for', () => {
  const file = { kind: 'dynamodb-restore', id: 'r', table: 'orders-again', from: { table: 'orders' } };
  const skipOf = (drill: boolean) =>
    dynamodbRestorePlan(migrationFile.parse({ ...file, drill }) as DynamoDbRestore).steps.find(
      ({ id }) => id === 'verify',
    )!.skip;
  expect(skipOf(true)).toBeUndefined();
  expect(skipOf(false)).toMatch(/not known/);
});

describe('what the file refuses', () => {
  const base = { kind: 'dynamodb-export', id: 'e', tables: ['orders'], bucket: 'backups' };
  const restore = { kind: 'dynamodb-restore', id: 'r', table: 'orders-again', from: { table: 'orders' } };
  test.each<[string, Record<string, unknown>, RegExp]>([
    ['a bucket with s3://', { ...base, bucket: 's3://backups' }, /bucket/],
    ['no tables', { ...base, tables: [] }, /tables|expected/],
    ['a table of two letters', { ...base, tables: ['ab'] }, /tables|expected/],
    ['a time without offset', { ...base, at: '2026-11-21T03:00:00' }, /offset/],
    ['a prefix with / first', { ...base, prefix: '/a' }, /prefix/],
    [
      '`at` with an increment',
      { ...base, at: '2026-11-21T03:00:00Z', type: { incremental: { from: 'last-export' } } },
      /no `at`/,
    ],
    [
      'retention of increments',
      { ...base, type: { incremental: { from: 'last-export' } }, retention: { keepLast: 1 } },
      /retention/,
    ],
    ['a KMS key with AES256', { ...base, sse: { algorithm: 'AES256', kmsKeyId: 'k' } }, /kmsKeyId/],
    ['36 days', { ...base, pointInTimeRecovery: { enable: { recoveryDays: 36 } } }, /recoveryDays|35|require/],
    ['an account as a number', { ...base, bucketOwner: 12345678901 }, /bucketOwner|string/],
    ['a fractional hour', { ...base, at: { hour: 7.5 } }, /hour|expected/],
    ['restoring onto the source', { ...restore, table: 'orders' }, /another name/],
    ['no name for what stays', { ...restore, table: undefined }, /name of the new table/],
    ['a schedule that is no drill', { ...restore, schedule: { cron: '0 3 * * *' } }, /drill/],
    ['an export by no location', { ...restore, from: { export: 'latest' } }, /export|expected/],
  ])('%s', (_what, file, message) => {
    const parsed = migrationFile.safeParse(file);
    expect(parsed.success).toBe(false);
    expect(JSON.stringify(parsed.error?.issues)).toMatch(message);
  });

  test('and takes what they should be', () => {
    expect(migrationFile.parse(base)).toMatchObject({ prefix: 'YYYY/MM/DD/<table>', at: 'now', failWhen: 'any' });
    expect(migrationFile.parse({ ...base, at: { hour: { ssm: '/H' } } })).toMatchObject({
      at: { day: 0, hour: { ssm: '/H' }, timeZone: 'Asia/Tokyo' },
    });
    expect(migrationFile.parse({ ...restore, table: undefined, drill: true })).toMatchObject({ drill: true });
  });
});
