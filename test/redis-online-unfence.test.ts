/** Break glass: Temporal and the worker are gone with the fence up, and one command with the file lifts it. */
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { REPO } from './fresh-build.ts';
import { approveAtGate, openScene, takesWrites } from './stage/replicaof.ts';
import { Stage } from './stage/stage.ts';
import type { WorkerProcess } from './stage/worker-process.ts';

let stage: Stage;
let worker: WorkerProcess;

beforeAll(async () => {
  stage = await Stage.open();
  worker = await stage.worker();
});
afterAll(() => stage.close());

async function unfence(id: string, port: number, ...flags: string[]) {
  const file = join(stage.dir, `${id}.yaml`);
  writeFileSync(
    file,
    [
      'kind: redis-online',
      `id: ${id}`,
      'engine: replicaof',
      `source: { host: 127.0.0.1, port: ${port} }`,
      'target: { host: 127.0.0.1, port: 1 }',
    ].join('\n'),
  );
  const cli = join(REPO, 'dist/client/cli/main.js');
  return promisify(execFile)(process.execPath, [cli, 'unfence', file, '--yes', '--json', ...flags]).then(
    ({ stdout }) => ({ code: 0, out: JSON.parse(stdout) as { changed: boolean; detail: string } }),
    (error: { code: number; stderr: string }) => ({ code: error.code, error: error.stderr }),
  );
}

test('lifts the fence with Temporal and the worker gone, and only the right one', async () => {
  const scene = await openScene(stage, { id: 'break-glass' });
  const tripped = scene.sourceWire.arm({
    when: 'after',
    match: (words) => words[0] === 'CONFIG' && words[1] === 'SET' && words[2] === 'MIN-REPLICAS-TO-WRITE',
    action: async () => {
      await worker.kill();
      await stage.temporal.kill();
    },
    verdict: 'cut',
  });
  await approveAtGate(scene);
  await tripped;
  expect(await takesWrites(scene.source)).toBe(false);

  const other = await unfence('another', scene.source.port);
  expect(other.code).toBe(1);
  expect(JSON.stringify(other)).toMatch(/break-glass/);
  expect(await takesWrites(scene.source)).toBe(false);

  expect(await unfence('break-glass', scene.source.port)).toMatchObject({ code: 0, out: { changed: true } });
  expect(await takesWrites(scene.source)).toBe(true);
  const redis = scene.source.connect();
  expect(await redis.exists('cutover:fence')).toBe(0);
  expect(await redis.config('GET', 'min-replicas-to-write')).toEqual(['min-replicas-to-write', '0']);

  // Twice is the same as once, and a source that is gone is unreachable.
  expect(await unfence('break-glass', scene.source.port)).toMatchObject({ code: 0, out: { changed: false } });
  await scene.app.stop();
  await scene.source.stop();
  expect((await unfence('break-glass', scene.source.port)).code).toBe(4);
});
