import { CompleteMigrationCommand, CreateSnapshotCommand, DescribeSnapshotsCommand } from '@aws-sdk/client-elasticache';
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL, fileURLToPath } from 'node:url';
import { afterEach, expect, test } from 'vitest';
import { ensureTool } from '../sandbox/runtime/tools.ts';
import {
  createTarget,
  describe as describeGroup,
  messages,
  primaryPort,
  refusal,
  startMigration,
  startRig,
  until,
  untilInSync,
  untilMessage,
  untilStatus,
} from './sandbox-elasticache-setup.ts';
import type { Rig } from './sandbox-elasticache-setup.ts';

const MINUTES = 180_000;
let rig: Rig | undefined;
afterEach(async () => {
  await rig?.end();
  rig = undefined;
}, MINUTES);

test(
  'a restarted emulator has the same groups, endpoints, data, events and snapshots',
  async () => {
    rig = await startRig();
    const group = await createTarget(rig, 'kept', { Tags: [{ Key: 'a', Value: 'b' }] });
    const port = primaryPort(group);
    await rig.redis(port).set('k', 'v');
    await rig.client.send(new CreateSnapshotCommand({ SnapshotName: 'snap', CacheClusterId: 'kept-002' }));
    await untilStatus(rig, 'kept', 'available');
    await rig.redis(port).set('after-snapshot', '1');
    const before = await messages(rig, 'kept');
    const pids = rig.aws.control.nodes().map((node) => node.pid ?? 0);

    await rig.restart();
    for (const pid of pids) expect(() => process.kill(pid, 0)).toThrow(/ESRCH/);
    const now = await untilStatus(rig, 'kept', 'available');
    expect(primaryPort(now)).toBe(port);
    expect(await messages(rig, 'kept')).toEqual(before);
    expect(await rig.redis(port).mget('k', 'after-snapshot')).toEqual(['v', '1']);
    const snapshots = await rig.client.send(new DescribeSnapshotsCommand({ SnapshotName: 'snap' }));
    expect(snapshots.Snapshots?.[0]?.SnapshotStatus).toBe('available');
    const replica = rig.aws.control.nodes().find((node) => node.role === 'replica');
    await rig.redis(port).set('fresh', '1');
    const reader = rig.redis(replica?.port ?? 0);
    await until('the replica follows again', async () => (await reader.get('fresh')) === '1');
    expect(rig.aws.control.failures()).toEqual([]);
  },
  MINUTES,
);

test(
  'a migration goes on after a restart: attaching, migrating, completing, and promoted without having said so',
  async () => {
    rig = await startRig({ timing: { modifying: 100_000 } });
    const source = await rig.source();
    const writer = source.connect();
    await writer.set('one', '1');
    const port = primaryPort(await createTarget(rig, 'going'));
    await startMigration(rig, 'going', source.port);
    expect((await describeGroup(rig, 'going')).Status).toBe('modifying');
    await rig.restart({ timing: { completing: 100_000 } });
    await untilStatus(rig, 'going', 'migrating');

    await rig.restart({ timing: { completing: 100_000 } });
    expect((await describeGroup(rig, 'going')).Status).toBe('migrating');
    await writer.set('two', '2');
    await untilInSync(source.connect(), rig.redis(port));
    await rig.client.send(new CompleteMigrationCommand({ ReplicationGroupId: 'going' }));

    await rig.restart({ timing: {} });
    await untilStatus(rig, 'going', 'available');
    expect(await rig.redis(port).mget('one', 'two')).toEqual(['1', '2']);

    const other = await rig.source();
    const stuck = primaryPort(await createTarget(rig, 'stuck'));
    await startMigration(rig, 'stuck', other.port);
    await untilStatus(rig, 'stuck', 'migrating');
    await untilInSync(other.connect(), rig.redis(stuck));
    rig.aws.control.completeAs({ mode: 'stuck' });
    await rig.client.send(new CompleteMigrationCommand({ ReplicationGroupId: 'stuck' }));
    const written = rig.redis(stuck);
    await until('the target takes writes', async () =>
      written.set('written', 'after promotion').then(
        () => true,
        () => false,
      ),
    );
    await rig.restart({ timing: {} });
    await untilMessage(rig, 'stuck', /Complete Migration successful/);
    // It must not have become the old source's replica again: that write would be gone.
    expect(await rig.redis(stuck).get('written')).toBe('after promotion');
    expect(rig.aws.control.failures()).toEqual([]);
  },
  MINUTES,
);

test(
  'a snapshot that a restart interrupts is gone, with its event',
  async () => {
    rig = await startRig({ timing: { snapshotting: 100_000 } });
    await createTarget(rig, 'half');
    await rig.client.send(new CreateSnapshotCommand({ SnapshotName: 'halfway', CacheClusterId: 'half-002' }));
    await rig.restart();
    await untilStatus(rig, 'half', 'available');
    expect(await refusal(rig.client.send(new DescribeSnapshotsCommand({ SnapshotName: 'halfway' })))).toMatchObject({
      name: 'SnapshotNotFoundFault',
    });
    await untilMessage(rig, 'half', /SnapshotFailed.*'halfway'/);
  },
  MINUTES,
);

test(
  'SIGKILL of the emulator ends its nodes with their data written, and the next one has it',
  async () => {
    rig = await startRig();
    const dir = join(rig.dir, 'killed');
    const script = join(rig.dir, 'emulator.mjs');
    const entry = pathToFileURL(fileURLToPath(new URL('../sandbox/aws/index.ts', import.meta.url))).href;
    const redisServer = (await ensureTool('redis-server')).path;
    const options = JSON.stringify({ dir, redisServer });
    writeFileSync(
      script,
      `const { startAws } = await import(${JSON.stringify(entry)});\n` +
        `const aws = await startAws(${options});\nconsole.log(aws.url);\n`,
    );
    const child = spawn(process.execPath, ['--import', import.meta.resolve('tsx'), script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let nodes: { port: number; pid: number }[];
    try {
      const url = await new Promise<string>((resolve, reject) => {
        child.stdout.once('data', (chunk: Buffer) => resolve(chunk.toString().trim()));
        child.once('exit', (code) => reject(new Error(`the emulator ended with ${code}`)));
      });
      const inChild: Rig = { ...rig, aws: { ...rig.aws, url }, client: rig.clientAt(url) };
      const group = await createTarget(inChild, 'orphaned');
      const port = primaryPort(group);
      await rig.redis(port).set('k', 'v');
      const answer = await fetch(`${url}/_sandbox/nodes`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: '{}',
      });
      nodes = (await answer.json()) as { port: number; pid: number }[];
      expect(nodes).toHaveLength(2);
    } finally {
      child.kill('SIGKILL');
    }
    for (const { pid } of nodes) {
      await until(`node ${pid} is gone`, async () => {
        try {
          process.kill(pid, 0);
          return false;
        } catch {
          return true;
        }
      });
    }
    await rig.restart({ dir });
    const group = await untilStatus(rig, 'orphaned', 'available');
    expect(await rig.redis(primaryPort(group)).get('k')).toBe('v');
  },
  MINUTES,
);
