import { spawn, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { Setup } from './sandbox-dynamodb-setup.ts';

let setup: Setup;
beforeAll(async () => {
  setup = await Setup.open();
}, 300_000);
beforeEach(() => setup.fresh());
afterAll(() => setup?.close());

test('boto3, unmodified, exports, restores and imports, as the article does and further', async ({ skip }) => {
  const python = spawnSync('python3', ['-c', 'import boto3'], { encoding: 'utf8' });
  skip(python.status !== 0, `needs python3 with boto3 (pip install boto3): ${python.stderr ?? python.error?.message}`);
  const script = fileURLToPath(new URL('sandbox-dynamodb-boto3.py', import.meta.url));
  const child = spawn('python3', [script], { env: { ...process.env, ...setup.aws.env } });
  let output = '';
  const read = (chunk: Buffer): void => {
    output += chunk.toString();
  };
  child.stdout.on('data', read);
  child.stderr.on('data', read);
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  expect(output.trim().split('\n')).toEqual([
    'refused: PointInTimeRecoveryUnavailableException',
    'condition failed',
    'refused: InvalidExportTimeException',
    'exported 39',
    'restored 39',
    'imported 39',
    'done',
  ]);
  expect(code).toBe(0);
  expect(setup.aws.control.failures()).toEqual([]);
});
