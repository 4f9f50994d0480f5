/**
 * Records the histories that test/replay.test.ts replays, by running real migrations on the sandbox's parts:
 *   node --import tsx test/histories/record.ts [name…]
 * To be run when a workflow was changed before its first release; after it, workflows are changed with `patched`, and the
 * old histories stay, because migrations that began with them may still be running.
 */
import { fillRedis } from '../../sandbox/app/fill.ts';
import { createGroup, openAws, openGroupScene, workerEnvironment } from '../stage/elasticache.ts';
import { startMigration } from '../../client/index.ts';
import { openDualScene, startStubborn } from '../stage/dual-write.ts';
import { openPostgresScene, throughTheGate } from '../stage/postgres.ts';
import { anotherReplica, approveAtGate, openScene } from '../stage/replicaof.ts';
import { atGate, isDone, Stage, untilStatus } from '../stage/stage.ts';
import { openBackups } from './record-backups.ts';
import { openRedisOffline } from './record-redis-offline.ts';
import { RECORDED_SECRETS } from './recorded-secrets.ts';
import { writeHistories, type Recordings } from './write-history.ts';

const stage = await Stage.open();
const aws = await openAws(stage);
await stage.worker({ ...workerEnvironment(aws), ...RECORDED_SECRETS });

async function abortedScan(id: string): Promise<string> {
  const scene = await openScene(stage, { id, engine: 'scan', keys: 200, rate: 100 });
  await untilStatus(scene.handle, 'the gate is ready', atGate);
  await scene.handle.abort({ by: 'test', reason: 'recorded' });
  await untilStatus(scene.handle, 'aborted', (s) => s.phase === 'aborted');
  return scene.id;
}

const RECORDINGS: Recordings = {
  'redis-online-replicaof-done': async () => {
    const scene = await openScene(stage, { id: 'replay-replicaof-done' });
    await approveAtGate(scene);
    await untilStatus(scene.handle, 'done', isDone);
    return scene.id;
  },
  'redis-online-replicaof-undone-then-done': async () => {
    const scene = await openScene(stage, { id: 'replay-replicaof-undone' });
    await untilStatus(scene.handle, 'the gate is ready', atGate);
    void scene.targetWire.arm({
      when: 'before',
      match: (words) => words[0] === 'CLIENT' && words[1] === 'ID',
      action: () => {},
      verdict: 'cut',
    });
    await scene.handle.approve({ by: 'test' });
    await untilStatus(scene.handle, 'undone', (s) => s.cutovers[0]?.outcome === 'undone' && atGate(s));
    await scene.handle.pause({ by: 'test' });
    await untilStatus(scene.handle, 'paused', (s) => s.phase === 'paused');
    await scene.handle.resume({ by: 'test' });
    await approveAtGate(scene);
    await untilStatus(scene.handle, 'done', isDone);
    return scene.id;
  },
  'redis-online-replicaof-aborted': async () => {
    const scene = await openScene(stage, { id: 'replay-replicaof-aborted' });
    await untilStatus(scene.handle, 'the gate is ready', atGate);
    await scene.handle.abort({ by: 'test', reason: 'recorded' });
    await untilStatus(scene.handle, 'aborted', (s) => s.phase === 'aborted');
    return scene.id;
  },
  'redis-online-replicaof-in-doubt-then-done': async () => {
    const scene = await openScene(stage, { id: 'replay-replicaof-in-doubt', keys: 200, rate: 100 });
    const tripped = scene.targetWire.arm({
      when: 'after',
      match: (words) => words[0] === 'REPLICAOF' && words[1] === 'NO',
      action: () => scene.target.signal('SIGSTOP'),
      verdict: 'cut',
    });
    await approveAtGate(scene);
    await tripped;
    await untilStatus(scene.handle, 'in doubt', (s) => s.phase === 'in-doubt');
    scene.target.signal('SIGCONT');
    await untilStatus(scene.handle, 'done', isDone);
    return scene.id;
  },
  'redis-online-scan-undone-then-done': async () => {
    const scene = await openScene(stage, { id: 'replay-scan-undone', engine: 'scan', keys: 200, rate: 100 });
    await untilStatus(scene.handle, 'the gate is ready', atGate);
    // Somebody lifts the fence before the copy is closed.
    void scene.targetWire.arm({
      when: 'before',
      match: (words) => words[0] === 'SET' && (words[2] ?? '').endsWith('CLOSED'),
      action: async () => {
        const redis = scene.source.connect();
        await redis.config('SET', 'min-replicas-to-write', '0');
        redis.disconnect();
      },
    });
    await scene.handle.approve({ by: 'test' });
    await untilStatus(scene.handle, 'undone', (s) => s.cutovers[0]?.outcome === 'undone' && atGate(s));
    await approveAtGate(scene);
    await untilStatus(scene.handle, 'done', isDone);
    return scene.id;
  },
  // The one above is of before the patch `back-until-hooks`.
  'redis-online-scan-fence-lost-then-aborted': async () => {
    const scene = await openScene(stage, { id: 'replay-scan-fence-lost', engine: 'scan', keys: 200, rate: 100 });
    await untilStatus(scene.handle, 'the gate is ready', atGate);
    void scene.targetWire.arm({
      when: 'before',
      match: (words) => words.some((word) => word.startsWith('CUTOVER:CANARY')),
      action: async () => {
        const redis = scene.source.connect();
        await redis.config('SET', 'min-replicas-to-write', '0');
        redis.disconnect();
      },
    });
    await scene.handle.approve({ by: 'test' });
    await untilStatus(scene.handle, 'parked', (s) => s.operator?.step === 'switch');
    await scene.handle.abort({ by: 'test', reason: 'recorded' });
    await untilStatus(scene.handle, 'aborted', (s) => s.phase === 'aborted');
    return scene.id;
  },
  // Recorded before the patch `left-before-forgotten`: what let go of the target forgot it in the same breath.
  'redis-online-scan-aborted': () => abortedScan('replay-scan-aborted'),
  'redis-online-scan-aborted-and-forgotten': () => abortedScan('replay-scan-forgotten'),
  // Recorded before the patch `copies-of-other-replicas`: the copy of another replica was held against the target.
  'redis-online-replicaof-parked-for-another-replica': async () => {
    const scene = await openScene(stage, {
      id: 'replay-replicaof-another-replica',
      keys: 200,
      rate: 100,
      more: { inSync: { interval: '100ms', readings: 100 } },
    });
    await anotherReplica(stage, scene);
    await untilStatus(scene.handle, 'parked', (s) => s.phase === 'needs-operator');
    await scene.handle.retry({ by: 'test' });
    await approveAtGate(scene);
    await untilStatus(scene.handle, 'done', isDone);
    return scene.id;
  },
  'redis-online-replicaof-parked-then-aborted': async () => {
    const scene = await openScene(stage, {
      id: 'replay-replicaof-parked',
      keys: 200,
      rate: 100,
      prepare: async ({ target }) => {
        const redis = target.connect();
        await redis.set('in-the-way', '1');
        redis.disconnect();
      },
    });
    await untilStatus(scene.handle, 'parked', (s) => s.phase === 'needs-operator');
    await scene.handle.pause({ by: 'test' });
    const redis = scene.target.connect();
    await redis.flushall();
    redis.disconnect();
    await scene.handle.retry({ by: 'test' });
    await untilStatus(scene.handle, 'paused', (s) => s.phase === 'paused');
    await scene.handle.resume({ by: 'test' });
    await untilStatus(scene.handle, 'the gate is ready', atGate);
    await scene.handle.abort({ by: 'test' });
    await untilStatus(scene.handle, 'aborted', (s) => s.phase === 'aborted');
    return scene.id;
  },
  'redis-online-elasticache-failed-then-done': async () => {
    const scene = await openGroupScene(stage, aws, { id: 'replay-elasticache' });
    aws.control.completeAs({ mode: 'fail' });
    await untilStatus(scene.handle, 'the gate is ready', atGate);
    await scene.handle.approve({ by: 'test' });
    await untilStatus(scene.handle, 'undone', (s) => s.cutovers[0]?.outcome === 'undone' && atGate(s));
    await scene.handle.approve({ by: 'test' });
    await untilStatus(scene.handle, 'done', isDone);
    return scene.id;
  },
  'postgres-dms-undone-then-done': async () => {
    const scene = await openPostgresScene(stage, aws, {
      id: 'replay-postgres',
      rate: 50,
      replication: { validation: false },
    });
    await untilStatus(scene.handle, 'the gate is ready', atGate);
    await scene.target.query("UPDATE public.data_sources SET name = 'changed' WHERE id = 1", [], 'redash');
    await scene.handle.approve({ by: 'test' });
    await untilStatus(scene.handle, 'undone', (s) => s.cutovers[0]?.outcome === 'undone' && atGate(s));
    await scene.handle.reloadTable('public.data_sources', { by: 'test' });
    await scene.handle.leaveOutTable('public.favorites', { by: 'test' });
    await scene.handle.pause({ by: 'test' });
    await untilStatus(scene.handle, 'paused', (s) => s.phase === 'paused');
    await scene.handle.resume({ by: 'test' });
    await throughTheGate(scene);
    return scene.id;
  },
  'postgres-dms-aborted': async () => {
    const scene = await openPostgresScene(stage, aws, { id: 'replay-postgres-aborted', rate: 50 });
    await untilStatus(scene.handle, 'follows', (s) => s.step === 'follow');
    await scene.handle.abort({ by: 'test', reason: 'recorded' });
    await untilStatus(scene.handle, 'aborted', (s) => s.phase === 'aborted');
    return scene.id;
  },
  'elasticache-backup-failed-then-done': async () => {
    await createGroup(aws, 'replay-backup');
    aws.control.failSnapshots();
    const handle = await startMigration(stage.client, {
      migration: {
        kind: 'elasticache-backup',
        id: 'replay-backup',
        replicationGroup: 'replay-backup',
        daily: { retentionLimit: 1, window: '15:00-16:00' },
        retention: { keepLast: 2 },
        aws: { region: aws.region },
      } as never,
    });
    await untilStatus(handle, 'parked', (s) => s.phase === 'needs-operator');
    await handle.retry({ by: 'test' });
    await untilStatus(handle, 'done', isDone);
    return 'replay-backup';
  },
  'elasticache-restore-failed-then-done': async () => {
    const server = await createGroup(aws, 'replay-source');
    await fillRedis({ host: server.host, port: server.port, keys: 50 });
    const start = (kind: string, id: string, more: Record<string, unknown>) =>
      startMigration(stage.client, { migration: { kind, id, aws: { region: aws.region }, ...more } as never });
    const backup = { replicationGroup: 'replay-source' };
    await untilStatus(await start('elasticache-backup', 'replay-before', backup), 'done', isDone);
    aws.control.onCall('CreateReplicationGroup', 'after', () => {
      aws.control.failNext({ action: 'DescribeReplicationGroups', code: 'AccessDenied', times: 1 });
    });
    const handle = await start('elasticache-restore', 'replay-restore', {
      from: { latestOf: 'replay-source' },
      to: { replicationGroup: 'replay-restored', replicasPerShard: 0 },
      switch: [{ type: 'command', run: ['true'] }],
    });
    await untilStatus(handle, 'parked', (s) => s.phase === 'needs-operator');
    aws.control.reset();
    await handle.retry({ by: 'test' });
    await untilStatus(handle, 'the gate is ready', atGate);
    await handle.approve({ by: 'test' });
    await untilStatus(handle, 'done', isDone);
    return 'replay-restore';
  },
  'elasticache-retire-failed-then-done': async () => {
    await createGroup(aws, 'replay-retire');
    const handle = await startMigration(stage.client, {
      migration: {
        kind: 'elasticache-retire',
        id: 'replay-retire',
        replicationGroup: 'replay-retire',
        aws: { region: aws.region },
      } as never,
    });
    await untilStatus(handle, 'the gate is ready', atGate);
    aws.control.failSnapshots();
    await handle.approve({ by: 'test', confirm: 'replay-retire' });
    await untilStatus(handle, 'parked', (s) => s.phase === 'needs-operator');
    await handle.retry({ by: 'test' });
    await untilStatus(handle, 'done', isDone);
    return 'replay-retire';
  },
  'redis-dual-write-undone-then-done': async () => {
    const scene = await openDualScene(stage, {
      id: 'replay-dual-write',
      keys: 200,
      more: { cutover: { budgets: { hold: '500ms' } } },
    });
    const instances = await Promise.all([scene.instance('one'), scene.instance('two')]);
    const handle = await scene.start();
    const ready = (gate: string) =>
      untilStatus(handle, gate, (s) => atGate(s) && s.gate?.id === gate);
    await ready('approve-reads');
    const stubborn = startStubborn(scene);
    await stubborn.follows;
    await handle.approve({ by: 'test' });
    await untilStatus(handle, 'undone', (s) => s.cutovers[0]?.outcome === 'undone');
    await stubborn.end();
    await ready('approve-reads');
    await handle.pause({ by: 'test' });
    await untilStatus(handle, 'paused', (s) => s.phase === 'paused');
    await handle.resume({ by: 'test' });
    await ready('approve-reads');
    await handle.approve({ by: 'test' });
    await ready('approve-source-off');
    await handle.approve({ by: 'test' });
    await untilStatus(handle, 'done', isDone);
    await Promise.all(instances.map((one) => one.end()));
    return scene.id;
  },
  'redis-dual-write-compared-again-then-back': async () => {
    const scene = await openDualScene(stage, {
      id: 'replay-dual-write-again',
      keys: 200,
      servers: { source: { config: { appendonly: 'yes' } } },
    });
    const instance = await scene.instance('one');
    const handle = await scene.start();
    const ready = (gate: string) => untilStatus(handle, gate, (s) => atGate(s) && s.gate?.id === gate);
    await ready('approve-reads');
    await scene.target.kill();
    await scene.target.restart();
    await untilStatus(handle, 'closed', (s) => s.gate?.notReady?.includes('not the process') ?? false);
    await ready('approve-reads');
    await handle.approve({ by: 'test' });
    await ready('approve-source-off');
    await scene.source.kill();
    await scene.source.restart();
    await handle.abort({ by: 'test', reason: 'recorded' });
    await untilStatus(handle, 'aborted', (s) => s.phase === 'aborted');
    await instance.end();
    return scene.id;
  },
  'redis-dual-write-stepped-back': async () => {
    const scene = await openDualScene(stage, {
      id: 'replay-dual-write-back',
      keys: 200,
      more: { soak: '1s', abort: { removePartialData: true }, cutover: { gate: 'auto' } },
    });
    const instance = await scene.instance('one');
    const handle = await scene.start();
    await untilStatus(handle, 'the second gate', (s) => atGate(s) && s.gate?.id === 'approve-source-off');
    await handle.abort({ by: 'test', reason: 'recorded' });
    await untilStatus(handle, 'aborted', (s) => s.phase === 'aborted');
    await instance.end();
    return scene.id;
  },
};

const wanted = process.argv.slice(2);
const isWanted = (name: string) => wanted.length === 0 || wanted.includes(name);
try {
  await writeHistories(stage, RECORDINGS, isWanted);
} finally {
  await stage.close();
}
if (wanted.length === 0 || wanted.some((name) => !(name in RECORDINGS))) {
  for (const open of [openBackups, openRedisOffline]) {
    const more = await open();
    try {
      await writeHistories(more.stage, more.recordings, isWanted);
    } finally {
      await more.stage.close();
    }
  }
}
