/**
 * The worker is killed (SIGKILL) at every step of a `postgres` migration and at named points of its critical section. It
 * always ends done, with everything on the target and nothing acknowledged lost.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { MigrationStatus } from '../client/index.ts';
import type { Aws } from '../sandbox/aws/index.ts';
import {
  expectMigrated,
  openDms,
  openPostgresScene,
  postgresWorkerEnvironment,
  throughTheGate,
  type PostgresScene,
} from './stage/postgres.ts';
import { atGate, Stage, untilStatus } from './stage/stage.ts';
import type { Wire } from './stage/tripwire.ts';
import type { WorkerProcess } from './stage/worker-process.ts';

let stage: Stage;
let aws: Aws;
let worker: WorkerProcess;

beforeAll(async () => {
  stage = await Stage.open();
  aws = await openDms(stage);
  worker = await stage.worker(postgresWorkerEnvironment(aws));
});
afterAll(() => stage.close());

async function killAndReplace(): Promise<void> {
  await worker.kill();
  worker = await stage.worker(postgresWorkerEnvironment(aws));
}

const STEPS = [
  'preflight',
  'plan-tables',
  'schema',
  'dms-instance',
  'dms-endpoints',
  'dms-task',
  'full-load',
  'finish-schema',
  'follow',
  'prove-copy',
  'approve-cutover',
];

test('killed in every step before the cutover', async () => {
  const scene = await openPostgresScene(stage, aws, { id: 'killed-steps', rows: 10_000 });
  for (const step of STEPS) {
    await untilStatus(scene.handle, `at ${step}`, (status) => isAt(status, step));
    await killAndReplace();
  }
  await expectMigrated(scene, await throughTheGate(scene), aws);
}, 600_000);

/** At it, or just past it: a short step may be over before anybody has looked. */
function isAt(status: MigrationStatus, step: string): boolean {
  return status.step === step || status.steps.find(({ id }) => id === step)?.state === 'done';
}

interface Point {
  name: string;
  on: 'sourceWire' | 'targetWire';
  when: Wire['when'];
  match: RegExp;
}

/** In the order in which the critical section comes by. */
const POINTS: Point[] = [
  { name: 'before the first role is fenced', on: 'sourceWire', when: 'before', match: /ALTER ROLE .* NOLOGIN/s },
  { name: 'with the fence up', on: 'sourceWire', when: 'after', match: /ALTER ROLE .* NOLOGIN/s },
  { name: 'in the copy by hand', on: 'targetWire', when: 'before', match: /COPY .*"queries".* FROM STDIN/s },
  { name: 'before the sequences are set', on: 'targetWire', when: 'before', match: /setval/ },
  { name: 'in the verification', on: 'targetWire', when: 'before', match: /hashtext|md5/ },
  { name: 'before the target opens', on: 'targetWire', when: 'before', match: /ALTER ROLE .*[^O]LOGIN/s },
];

test.for(POINTS)('killed $name', { timeout: 400_000 }, async (point) => {
  const id = `killed-${POINTS.indexOf(point)}`;
  const scene = await openPostgresScene(stage, aws, { id });
  await untilStatus(scene.handle, 'at the gate', atGate, 120_000);
  const tripped = scene[point.on].arm({
    when: point.when,
    match: ([sql]) => point.match.test(sql!),
    action: () => worker.kill(),
    verdict: 'cut',
  });
  await scene.handle.approve({ by: 'test' });
  await tripped.within(60_000, () => whatIsThere(scene));
  worker = await stage.worker(postgresWorkerEnvironment(aws));
  await expectMigrated(scene, await throughTheGate(scene), aws);
});

test('killed while the replication is being stopped, and in the switch', async () => {
  const scene = await openPostgresScene(stage, aws, { id: 'killed-stop' });
  await untilStatus(scene.handle, 'at the gate', atGate, 120_000);
  let calls = 0;
  const forget = aws.control.onCall('StopReplicationTask', 'after', () => {
    calls += 1;
    return calls === 1 ? worker.kill() : undefined;
  });
  await scene.handle.approve({ by: 'test' });
  await expect.poll(() => calls, { timeout: 60_000 }).toBeGreaterThan(0);
  forget();
  worker = await stage.worker(postgresWorkerEnvironment(aws));
  await untilStatus(scene.handle, 'open, or back at the gate', ({ cutovers, gate }) => {
    return gate !== undefined || (cutovers.at(-1)?.phases.some(({ name }) => name === 'open') ?? false);
  });
  await killAndReplace();
  await expectMigrated(scene, await throughTheGate(scene), aws);
});

async function whatIsThere(scene: PostgresScene): Promise<string> {
  const { phase, step, cutovers, operator } = await scene.handle.status();
  return JSON.stringify({ phase, step, cutovers, operator, seen: scene.targetWire.seen().slice(-10) });
}
