/** Recorded histories replay: an upgrade does not break a migration that is running. And what is in them is fit to be read. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundleWorkflowCode, Worker } from '@temporalio/worker';
import { beforeAll, expect, test } from 'vitest';
import { CATALOGUE_WORKFLOW } from '../spec/catalogue.ts';
import { PREFLIGHT_WORKFLOW, WORKFLOW_TYPES } from '../spec/contract.ts';
import * as workflows from '../workflows/index.ts';
import { RECORDED_SECRETS } from './histories/recorded-secrets.ts';

const FOLDER = fileURLToPath(new URL('histories', import.meta.url));
const NAMES = readdirSync(FOLDER)
  .filter((name) => name.endsWith('.json'))
  .map((name) => name.replace(/\.json$/, ''));

interface Payload {
  data: string;
}

interface Recorded {
  events: {
    eventType: string;
    workflowExecutionStartedEventAttributes?: {
      workflowType: { name: string };
      searchAttributes?: { indexedFields: Record<string, Payload> };
      input: { payloads: Payload[] };
    };
    activityTaskScheduledEventAttributes?: { activityType: { name: string }; input: { payloads: Payload[] } };
  }[];
}

const textOf = (name: string): string => readFileSync(join(FOLDER, `${name}.json`), 'utf8');
const recorded = (name: string): Recorded => JSON.parse(textOf(name)) as Recorded;
const startOf = (name: string) => recorded(name).events[0]!.workflowExecutionStartedEventAttributes!;
const valueOf = ({ data }: Payload) => JSON.parse(Buffer.from(data, 'base64').toString('utf8')) as unknown;

let code: string;

beforeAll(async () => {
  const workflowsPath = fileURLToPath(new URL('../workflows/index.ts', import.meta.url));
  ({ code } = await bundleWorkflowCode({ workflowsPath }));
});

const replay = (history: unknown) => Worker.runReplayHistory({ workflowBundle: { code } }, history);

test('every workflow has a recorded history', () => {
  const types = Object.keys(workflows);
  expect(types).toEqual(
    expect.arrayContaining([...Object.values(WORKFLOW_TYPES), PREFLIGHT_WORKFLOW, CATALOGUE_WORKFLOW]),
  );
  expect(NAMES.map((name) => startOf(name).workflowType.name)).toEqual(expect.arrayContaining(types));
});

test('one of them is a schedule’s run, of the time when it was due', () => {
  const name = 'dynamodb-export-scheduled';
  const { searchAttributes, input } = startOf(name);
  expect(valueOf(input.payloads[0]!)).toMatchObject({ schedule: 'replay-nightly' });
  const due = valueOf(searchAttributes!.indexedFields['TemporalScheduledStartTime']!) as string;
  const settings = recorded(name).events.find((event) => event.activityTaskScheduledEventAttributes)!;
  expect(valueOf(settings.activityTaskScheduledEventAttributes!.input.payloads[0]!)).toMatchObject({
    now: new Date(due).toISOString(),
    due: true,
  });
});

test.for(NAMES)('%s replays', async (name) => {
  await replay(recorded(name));
});

test.for(NAMES)('%s does not replay where the workflow called something else', async (name) => {
  const history = recorded(name);
  const calls = history.events.filter((event) => event.activityTaskScheduledEventAttributes);
  // A migration's second call; some workflows have one only.
  const call = calls[1] ?? calls[0]!;
  call.activityTaskScheduledEventAttributes!.activityType.name = 'somethingElse';
  await expect(replay(history)).rejects.toThrow(/TMPRL1100|[Nn]ondeterminism/);
});

/** Payloads as they are read. One may carry another, such as a failure with its details. */
function texts(value: unknown): string[] {
  if (typeof value === 'string') return [value];
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) =>
    key === 'data' && typeof inner === 'string' ? [Buffer.from(inner, 'base64').toString('utf8')] : texts(inner),
  );
}

test.for(NAMES)('%s shows no secret', (name) => {
  const shown = [textOf(name), ...texts(recorded(name))].join('\n');
  // What a worker knew of, the key in a signed address, a private key.
  for (const [variable, secret] of Object.entries(RECORDED_SECRETS))
    expect(shown.includes(secret), `the value of ${variable} is in it`).toBe(false);
  expect(shown).not.toMatch(/X-Amz-Signature|X-Amz-Credential|PRIVATE KEY-----/i);
});

test('the search for secrets finds what is in a payload', () => {
  const shown = texts(recorded('machine-restore-switch-failed-then-aborted')).join('\n');
  expect(shown).toContain('REPLAY_TOKEN');
  // Where the command printed it.
  expect(shown).toContain('refused: [secret]');
});
