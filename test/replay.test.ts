/** Recorded histories replay: an upgrade does not break a migration that is running. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundleWorkflowCode, Worker } from '@temporalio/worker';
import { beforeAll, expect, test } from 'vitest';

const FOLDER = fileURLToPath(new URL('histories', import.meta.url));
const NAMES = readdirSync(FOLDER)
  .filter((name) => name.endsWith('.json'))
  .map((name) => name.replace(/\.json$/, ''));

interface Recorded {
  events: { eventType: string; activityTaskScheduledEventAttributes?: { activityType: { name: string } } }[];
}

const recorded = (name: string): Recorded => JSON.parse(readFileSync(join(FOLDER, `${name}.json`), 'utf8')) as Recorded;

let code: string;

beforeAll(async () => {
  const workflowsPath = fileURLToPath(new URL('../workflows/index.ts', import.meta.url));
  ({ code } = await bundleWorkflowCode({ workflowsPath }));
});

const replay = (history: unknown) => Worker.runReplayHistory({ workflowBundle: { code } }, history);

test('every workflow has a recorded history', () => {
  expect(NAMES.map((name) => name.replace(/-(replicaof|dms|failed).*/, ''))).toEqual(
    expect.arrayContaining([
      'redis-online',
      'elasticache-backup',
      'elasticache-restore',
      'elasticache-retire',
      'postgres',
    ]),
  );
});

test.for(NAMES)('%s replays', async (name) => {
  await replay(recorded(name));
});

test.for(NAMES)('%s does not replay where the workflow called something else', async (name) => {
  const history = recorded(name);
  const calls = history.events.filter((event) => event.activityTaskScheduledEventAttributes);
  expect(calls.length).toBeGreaterThan(2);
  calls[1]!.activityTaskScheduledEventAttributes!.activityType.name = 'somethingElse';
  await expect(replay(history)).rejects.toThrow(/TMPRL1100|[Nn]ondeterminism/);
});
