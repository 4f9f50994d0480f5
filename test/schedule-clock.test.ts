/** Daylight saving on Temporal's real server: when a schedule runs around both changes of the clock, and as what. */
import { DateTime } from 'luxon';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  backfillSchedule,
  createSchedule,
  parseMigration,
  scheduleInfo,
  scheduleTimes,
  type ScheduleInfo,
} from '../client/index.ts';
import { clockChanges, type ClockChange } from '../client/clock-changes.ts';
import { describeSchedule } from '../client/schedule-info.ts';
import { clockChangeLines, scheduleText } from '../client/cli/schedule-view.ts';
import { Stage, until } from './stage/stage.ts';

let stage: Stage;
beforeAll(async () => {
  stage = await Stage.open();
});
afterAll(() => stage.close());

let count = 0;
function create(section: Record<string, unknown>): Promise<ScheduleInfo> {
  const id = `clock-${++count}`;
  const text = JSON.stringify({ kind: 'elasticache-backup', id, replicationGroup: 'shop', schedule: section });
  // No worker polls this queue: the runs are started, and nothing of them is carried out.
  return createSchedule(stage.client, { migration: parseMigration(text, 'm.yaml'), taskQueue: 'nobody' });
}

/** Both changes of a year, and the local days around them. */
const CHANGES = [
  { zone: 'Europe/Berlin', day: '2027-03-28', gap: '02:30', lateAt: '2027-03-28T01:00:00.000Z' },
  { zone: 'Europe/Berlin', day: '2027-10-31', doubled: '02:30', runs: 1, lateAt: '2027-10-31T02:00:00.000Z' },
  { zone: 'America/New_York', day: '2027-03-14', gap: '02:30', lateAt: '2027-03-14T07:00:00.000Z' },
  { zone: 'America/New_York', day: '2027-11-07', doubled: '01:30', runs: 2, lateAt: '2027-11-07T08:00:00.000Z' },
];

const around = (day: string, zone: string) => {
  const noon = DateTime.fromISO(`${day}T12:00`, { zone });
  return { from: noon.minus({ days: 3 }).startOf('day'), to: noon.plus({ days: 3 }).endOf('day') };
};
/** What is said of the change on that day, as if it was asked three days before. */
async function changeOn(id: string, day: string, zone: string): Promise<ClockChange> {
  const { spec } = await describeSchedule(stage.client, id);
  const ask = (from: Date, to: Date) => scheduleTimes(stage.client, id, from, to);
  const [change] = await clockChanges(spec, ask, around(day, zone).from.toJSDate());
  return change!;
}
const local = (times: string[], zone: string) => times.map((time) => DateTime.fromISO(time, { zone }));
const week = (day: string) =>
  [-3, -2, -1, 0, 1, 2, 3].map((off) => DateTime.fromISO(day).plus({ days: off }).toFormat('yyyy-MM-dd'));

describe.each(CHANGES)('$zone on $day', ({ zone, day, gap, doubled, runs = 0, lateAt }) => {
  test.each(['cron', 'calendar'])('at 03:00 (%s) it runs exactly once on each local day', async (form) => {
    const { id } = await create({
      ...(form === 'cron' ? { cron: '0 3 * * *' } : { calendar: { hour: 3 } }),
      timeZone: zone,
    });
    const { from, to } = around(day, zone);
    const times = await scheduleTimes(stage.client, id, from.toJSDate(), to.toJSDate());
    expect(times).toContain(lateAt);
    const runs = local(times, zone);
    expect(runs.map((time) => time.toFormat('yyyy-MM-dd'))).toEqual(week(day));
    expect(new Set(runs.map((time) => time.toFormat('HH:mm')))).toEqual(new Set(['03:00']));
    expect(await changeOn(id, day, zone)).toMatchObject({ day, effect: 'none', times: [] });
  });

  test('at a time that the change takes away, or brings twice, it says so', async () => {
    const time = gap ?? doubled;
    const [hour, minute] = time.split(':').map(Number);
    const { id } = await create({ calendar: { hour, minute }, timeZone: zone });
    const { from, to } = around(day, zone);
    const times = await scheduleTimes(stage.client, id, from.toJSDate(), to.toJSDate());
    const days = local(times, zone).map((at) => at.toFormat('yyyy-MM-dd'));
    const once = week(day).filter((one) => one !== day);
    // What the server does: no such face of the clock, no run. The same face twice: two runs west of Greenwich, else one.
    expect(days).toEqual([...once, ...Array.from({ length: runs }, () => day)].toSorted());
    const change = await changeOn(id, day, zone);
    expect(change).toMatchObject({ day, effect: ['left-out', 'once', 'twice'][runs], times: [time] });
    const said = [`it does NOT run at ${time}`, `it runs once at ${time}`, `it runs TWICE at ${time}`];
    expect(clockChangeLines({ clockChanges: [change], timeZone: zone })[0]).toContain(said[runs]);
  });
});

test('the two runs of a doubled hour share no id', async () => {
  const zone = 'America/New_York';
  // Of the past, so that it can be run now.
  const begin = DateTime.fromISO('2026-11-01T00:00', { zone });
  const { id } = await create({ cron: '30 1 * * *', timeZone: zone });
  const range = { from: begin.toJSDate(), to: begin.endOf('day').toJSDate() };
  const times = await backfillSchedule(stage.client, id, { ...range, overlap: 'allow-all' });
  expect(times).toEqual(['2026-11-01T05:30:00.000Z', '2026-11-01T06:30:00.000Z']);
  const { runs } = await until('both are started', async () => {
    const info = await scheduleInfo(stage.client, id);
    return info.runs.length === 2 ? info : undefined;
  });
  expect(runs.map((run) => run.id).toSorted()).toEqual([`${id}-2026-11-01T05:30:00Z`, `${id}-2026-11-01T06:30:00Z`]);
});

test('what runs in every hour has a hole in the doubled hour of Berlin, none in UTC, and none with every', async () => {
  const berlin = await create({ cron: '0 * * * *', timeZone: 'Europe/Berlin' });
  const day = '2027-10-31';
  expect(await changeOn(berlin.id, day, 'Europe/Berlin')).toMatchObject({ day, effect: 'hole', times: ['02:00'] });
  const times = await scheduleTimes(stage.client, berlin.id, new Date(`${day}T00:00Z`), new Date(`${day}T02:00Z`));
  expect(times).toEqual([`${day}T00:00:00.000Z`, `${day}T02:00:00.000Z`]);
  // In spring the hour is not there at all, which is no loss.
  expect(await changeOn(berlin.id, '2027-03-28', 'Europe/Berlin')).toMatchObject({ effect: 'none' });
  const newYork = await create({ cron: '0 * * * *', timeZone: 'America/New_York' });
  expect(await changeOn(newYork.id, '2027-11-07', 'America/New_York')).toMatchObject({ effect: 'none' });
  expect((await create({ cron: '0 * * * *' })).clockChanges).toEqual([]);
  expect((await create({ every: '6h' })).clockChanges).toEqual([]);
});

test('show prints the next ten times in the zone of the schedule, as the server reckons them', async () => {
  const info = await create({ cron: '0 3 * * *', timeZone: 'America/New_York' });
  expect(info.next).toHaveLength(10);
  const text = scheduleText(info, {});
  for (const time of local(info.next, 'America/New_York'))
    expect(text).toContain(`${time.toFormat('yyyy-MM-dd')} 03:00 ${time.offsetNameShort}`);
  expect(text).toContain('the clock goes from 02:00 to 03:00 in America/New_York');
  expect(text).toContain('the clock goes from 02:00 to 01:00 in America/New_York');
});

test.each([
  '@hourly',
  '@daily',
  '@weekly',
  '@monthly',
  '@yearly',
  '*/15 * * * *',
  '0 9-17/2 * * mon-fri',
  '0 0 1,15 jan,jul *',
  '0 0 * * sun,saturday',
  '59 23 31 12 *',
  '0 3 29 2 *',
])('the server takes the cron line that we take: %s', async (cron) => {
  expect((await create({ cron })).next.length).toBeGreaterThan(0);
});

test('one that would never run is refused, and not left behind', async () => {
  await expect(create({ cron: '0 3 30 2 *' })).rejects.toThrow('would never run: cron 0 3 30 2 * (UTC)');
  await expect(describeSchedule(stage.client, `clock-${count}`)).rejects.toThrow('there is no schedule');
});
