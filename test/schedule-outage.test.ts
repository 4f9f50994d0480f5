/** An outage of Temporal itself: which runs are made up for, which are missed, and that each is accounted for. */
import { stripVTControlCharacters } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createSchedule, parseMigration, pauseSchedule, scheduleInfo } from '../client/index.ts';
import { scheduleTable } from '../client/cli/schedule-view.ts';
import { isSecondAttempt } from './stage/second-attempt.ts';
import { Stage, until } from './stage/stage.ts';

let stage: Stage;
beforeAll(async () => {
  stage = await Stage.open();
});
afterAll(() => stage.close());

const EVERY_MS = 3_000;
/** The shortest that the server takes. */
const CATCH_UP_MS = 10_000;

let count = 0;

test('runs that are late by no more than catchUp are made up for; older ones are missed, and counted', async () => {
  // The first attempt may have failed while it was down.
  if (isSecondAttempt()) await stage.temporal.restart();
  // Of this attempt alone, where the test is tried again.
  const id = `outage-${(count += 1)}`;
  const text = JSON.stringify({
    kind: 'elasticache-backup',
    id,
    replicationGroup: 'shop',
    // Side by side, so that no run holds another one up: no worker carries any of them out.
    schedule: { every: '3s', overlap: 'allow-all', catchUp: '10s' },
  });
  await createSchedule(stage.client, { migration: parseMigration(text, 'm.yaml'), taskQueue: 'nobody' });
  const info = () => scheduleInfo(stage.client, id);
  const begun = await until('it has run', async () => {
    const now = await info();
    return now.counts.started > 0 && now.runs.length === now.counts.started ? now : undefined;
  });
  await stage.temporal.kill();
  const killedAt = Date.now();
  // Longer than the window by two of its times at the least, on the clock that the server reckons by.
  await until('the outage is long enough', async () => Date.now() - killedAt > CATCH_UP_MS + 3 * EVERY_MS);
  await stage.temporal.restart();
  const upAt = Date.now();
  const after = await until('it runs again', async () => {
    const now = await info();
    return now.runs.some(({ dueAt }) => Date.parse(dueAt!) > upAt) ? now : undefined;
  });
  expect(after.counts.missed).toBeGreaterThan(0);
  const inOutage = after.runs.filter(({ dueAt }) => Date.parse(dueAt!) > killedAt && Date.parse(dueAt!) < upAt);
  expect(inOutage.length).toBeGreaterThan(0);
  // The window is of when the server looks: a moment passes until the run is begun.
  for (const { dueAt, startedAt } of inOutage)
    expect(Date.parse(startedAt!) - Date.parse(dueAt!)).toBeLessThan(CATCH_UP_MS + EVERY_MS);
  expect(stripVTControlCharacters(scheduleTable([after]).join('\n'))).toMatch(/^outage-\d+ .* \d+ missed$/m);

  // Nothing is lost without a word: from its first time to its last, each has run or is counted as missed.
  await pauseSchedule(stage.client, id);
  const { runs, counts } = await info();
  const last = Math.max(...runs.map(({ dueAt }) => Date.parse(dueAt!)));
  const first = Math.min(...begun.runs.map(({ dueAt }) => Date.parse(dueAt!)));
  expect(counts.started + counts.missed).toBe((last - first) / EVERY_MS + 1);
});
