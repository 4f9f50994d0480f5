import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startAws } from '../sandbox/aws/index.ts';
import type { Aws } from '../sandbox/aws/index.ts';
import { startPostgres } from '../sandbox/runtime/postgres.ts';
import type { PostgresServer } from '../sandbox/runtime/postgres.ts';

let dir: string;
let aws: Aws;
let source: PostgresServer;
let target: PostgresServer;
beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'sandbox-dms-boto3-'));
  source = await startPostgres({ dir: join(dir, 'source') });
  target = await startPostgres({ dir: join(dir, 'target') });
  for (const server of [source, target]) {
    await server.query('CREATE TABLE public.item (id int PRIMARY KEY, name text NOT NULL)');
  }
  await source.query(`INSERT INTO item SELECT i, 'item ' || i FROM generate_series(1, 500) i`);
  aws = await startAws({ dir: join(dir, 'aws'), redisServer: '/nonexistent' });
});
afterAll(async () => {
  await aws?.stop();
  await source?.stop();
  await target?.stop();
  rmSync(dir, { recursive: true, force: true });
});

test('boto3, unmodified, does a whole migration, and the rows are really there', async ({ skip }) => {
  const python = spawnSync('python3', ['-c', 'import boto3'], { encoding: 'utf8' });
  skip(python.status !== 0, `needs python3 with boto3 (pip install boto3): ${python.stderr ?? python.error?.message}`);
  const script = fileURLToPath(new URL('sandbox-dms-boto3.py', import.meta.url));
  const child = spawn('python3', [script, String(source.port), String(target.port)], {
    env: { ...process.env, ...aws.env },
  });
  let output = '';
  let written: Promise<unknown> | undefined;
  const read = (chunk: Buffer): void => {
    output += chunk.toString();
    if (output.includes('write now')) written ??= source.query(`INSERT INTO item VALUES (501, 'während')`);
  };
  child.stdout.on('data', read);
  child.stderr.on('data', read);
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  await written;
  expect(output).toContain('loaded 500');
  expect(output).toContain('refused: Replication Task cannot be started, invalid state');
  expect(output).toContain('stopped: Stop Reason NORMAL');
  expect(output).toContain('done');
  expect(code).toBe(0);
  const rows = 'SELECT id, name FROM item ORDER BY id';
  expect(await target.query(rows)).toEqual(await source.query(rows));
  expect(await target.query('SELECT count(*)::int AS n FROM item')).toEqual([{ n: 501 }]);
  expect(await source.query('SELECT slot_name FROM pg_replication_slots')).toEqual([]);
  expect(aws.control.failures()).toEqual([]);
});
