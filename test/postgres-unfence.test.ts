/** Break glass: Temporal and the worker are gone with the fence up, and one command with the file lifts it. */
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { closeRoles } from '../activities/postgres/fence.ts';
import { readRecords } from '../activities/postgres/fence-record.ts';
import { APPLICATION_ROLE, REDASH_DATABASE } from '../sandbox/app/redash/roles.ts';
import type { Aws } from '../sandbox/aws/index.ts';
import { REPO } from './fresh-build.ts';
import {
  endpointOf,
  expectBackOnTheSource,
  openDms,
  openPostgresScene,
  postgresWorkerEnvironment,
  WORKER_SECRETS,
  type PostgresScene,
} from './stage/postgres.ts';
import { atGate, Stage, until, untilStatus } from './stage/stage.ts';
import type { WorkerProcess } from './stage/worker-process.ts';

const ID = 'break-glass';

let stage: Stage;
let aws: Aws;
let worker: WorkerProcess;

beforeAll(async () => {
  stage = await Stage.open();
  aws = await openDms(stage);
  worker = await stage.worker(postgresWorkerEnvironment(aws));
});
afterAll(() => stage.close());

/** As a user runs it: another process, with the scene's file under this id, and no Temporal to ask. */
async function unfence(scene: PostgresScene, id: string, ...flags: string[]) {
  const file = join(stage.dir, `${id}.yaml`);
  writeFileSync(file, stringify({ ...scene.migration, id }));
  const cli = join(REPO, 'dist/client/cli/main.js');
  const env = { ...process.env, ...WORKER_SECRETS };
  return promisify(execFile)(process.execPath, [cli, 'unfence', file, '--yes', '--json', ...flags], { env }).then(
    ({ stdout }) => ({ code: 0, out: JSON.parse(stdout) as { changed: boolean; detail: string } }),
    (error: { code: number; stderr: string }) => ({ code: error.code, error: error.stderr }),
  );
}

async function mayLogIn(scene: PostgresScene): Promise<boolean> {
  const { user, password, database } = endpointOf(scene.source, 'application');
  try {
    const client = await scene.source.connect({ user, password, database });
    await client.query('UPDATE organizations SET name = name');
    await client.end();
    return true;
  } catch (error) {
    expect((error as Error).message).toContain('is not permitted to log in');
    return false;
  }
}

test('lifts the fence with Temporal and the worker gone, and only the right one', async () => {
  const scene = await openPostgresScene(stage, aws, { id: ID, rows: 2_000, rate: 20 });
  await untilStatus(scene.handle, 'at the gate', atGate, 180_000);
  // The source is closed by the time that the target is.
  const tripped = scene.targetWire.arm({
    when: 'before',
    match: ([sql]) => sql === `ALTER ROLE "${APPLICATION_ROLE}" NOLOGIN`,
    action: async () => {
      await worker.kill();
      await stage.temporal.kill();
    },
    verdict: 'cut',
  });
  await scene.handle.approve({ by: 'test' });
  await tripped.within(60_000, async () => JSON.stringify(await scene.handle.status()));
  expect(await mayLogIn(scene)).toBe(false);

  const other = await unfence(scene, 'another', '--yes');
  expect(other.code).toBe(1);
  expect(JSON.stringify(other)).toMatch(/fenced by the migration break-glass/);
  expect(await mayLogIn(scene)).toBe(false);

  const lifted = await unfence(scene, ID, '--yes');
  expect(lifted).toMatchObject({
    code: 0,
    out: { changed: true, detail: `lifted: ${APPLICATION_ROLE} may log in again` },
  });
  expect(await mayLogIn(scene)).toBe(true);
  // Its services were stopped before the fence: starting them is the operator's.
  scene.app.startService();
  await expectBackOnTheSource(scene);

  // Twice is the same as once.
  expect(await unfence(scene, ID, '--yes')).toMatchObject({
    code: 0,
    out: { changed: false, detail: 'there was no fence' },
  });

  // With --force another migration's fence goes too.
  const client = await scene.source.connect({ database: REDASH_DATABASE });
  await closeRoles(client, 'fence', { migration: ID, generation: 9_001, roles: [APPLICATION_ROLE] }, 10_000);
  expect((await unfence(scene, 'another', '--yes')).code).toBe(1);
  expect(await unfence(scene, 'another', '--yes', '--force')).toMatchObject({ code: 0, out: { changed: true } });
  expect(await mayLogIn(scene)).toBe(true);
  expect((await readRecords(client, 'fence')).map(({ role, lifted: down }) => [role, down])).toEqual([
    [APPLICATION_ROLE, true],
  ]);
  await client.end();

  // A source that is gone is unreachable, which is not the same as no fence.
  await scene.source.stop();
  await until('unreachable', async () => (await unfence(scene, ID, '--yes')).code === 4, 30_000);
}, 300_000);
