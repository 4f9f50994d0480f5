/** Histories of the backups and restores of tables and machines, of a schedule's run, of `preflight` and `snapshots`. */
import {
  catalogue,
  createSchedule,
  deleteSchedule,
  parseMigration,
  runPreflight,
  triggerSchedule,
} from '../../client/index.ts';
import { furnishMachines } from '../../sandbox/furnish-machines.ts';
import type { MachineRestore } from '../../spec/kind-machine-restore.ts';
import type { StepOf } from '../../spec/machine-steps.ts';
import type { MigrationStatus } from '../../spec/status.ts';
import { BUCKET, DynamoDbScene, resultOf } from '../stage/dynamodb.ts';
import { begin, example, Machines } from '../stage/machines.ts';
import { atGate, isDone, Stage, until, untilStatus } from '../stage/stage.ts';
import { RECORDED_SECRETS } from './recorded-secrets.ts';
import type { Recordings } from './write-history.ts';

const isParked = (status: MigrationStatus) => status.phase === 'needs-operator';
const isAborted = (status: MigrationStatus) => status.phase === 'aborted';

/** On a stage of their own: their AWS has moto behind it, and a worker knows one AWS. */
export async function openBackups(): Promise<{ stage: Stage; recordings: Recordings }> {
  const stage = await Stage.open();
  try {
    const scene = await DynamoDbScene.open(stage);
    const machine = await furnishMachines(scene.aws);
    await stage.worker({ ...scene.workerEnvironment, ...RECORDED_SECRETS });
    return { stage, recordings: { ...ofTables(scene), ...ofMachines(scene, machine), ...ofQuestions(scene, machine) } };
  } catch (error) {
    await stage.close();
    throw error;
  }
}

const ofTables = (scene: DynamoDbScene): Recordings => ({
  'dynamodb-export-failed-then-done': async () => {
    const tables = ['replay-a', 'replay-b', 'replay-c'];
    for (const table of tables) await scene.table(table, { items: 5, recovery: table !== 'replay-a' });
    const file = { pointInTimeRecovery: 'enable', retention: { keepLast: 1 } };
    // What the retention of the one that is recorded deletes.
    await untilStatus(await scene.export('replay-export', tables.slice(1), file), 'there is an older one', isDone);
    scene.aws.control.dynamodb.failExport({ table: 'replay-b', code: 'S3AccessDenied', message: 'no PutObject' });
    const handle = await scene.export('replay-export', tables, file);
    await untilStatus(handle, 'one of three failed', isParked);
    await handle.retry({ by: 'test' });
    await untilStatus(handle, 'done', isDone);
    return handle.id;
  },
  'dynamodb-export-aborted': async () => {
    await scene.table('replay-slow', { items: 5, recovery: false });
    scene.aws.control.dynamodb.slowExport({ table: 'replay-slow', ms: 600_000 });
    const handle = await scene.export('replay-export-aborted', ['replay-slow'], { pointInTimeRecovery: 'enable' });
    await until('it is being exported', async () => (await scene.exportsOf('replay-slow')).length > 0);
    await handle.abort({ by: 'test', reason: 'recorded' });
    await untilStatus(handle, 'aborted', isAborted);
    return handle.id;
  },
  'dynamodb-export-scheduled': async () => {
    await scene.table('replay-nightly', { items: 5 });
    const file = {
      kind: 'dynamodb-export',
      id: 'replay-nightly',
      tables: ['replay-nightly'],
      bucket: BUCKET,
      schedule: { cron: '0 3 * * *', timeZone: 'Asia/Tokyo' },
      aws: { region: scene.aws.region },
    };
    const { client } = scene.stage;
    await createSchedule(client, { migration: parseMigration(JSON.stringify(file), 'replay.yaml') });
    try {
      const handle = (await triggerSchedule(client, file.id))!;
      await untilStatus(handle, 'done', isDone);
      return handle.id;
    } finally {
      await deleteSchedule(client, file.id);
    }
  },
  'dynamodb-restore-drill': async () => {
    await scene.table('replay-orders', { items: 7 });
    const exported = await untilStatus(await scene.export('replay-before', ['replay-orders']), 'exported', isDone);
    const from = { export: resultOf(exported).successfulExports[0]!.exportArn };
    const handle = await scene.restore('replay-drill', from, { drill: true });
    await untilStatus(handle, 'done', isDone);
    return handle.id;
  },
  'dynamodb-restore-aborted': async () => {
    await scene.table('replay-source', { items: 7 });
    scene.aws.control.setTiming({ dynamodbRestoring: 3_000 });
    try {
      const handle = await scene.restore('replay-restore', { table: 'replay-source' }, { table: 'replay-again' });
      await until('it is being made', () => scene.exists('replay-again'));
      await handle.abort({ by: 'test', reason: 'recorded' });
      await untilStatus(handle, 'aborted', isAborted);
      return handle.id;
    } finally {
      scene.aws.control.setTiming({ dynamodbRestoring: 100 });
    }
  },
});

const HOLD = [{ name: 'hold', run: 'touch /run/app.held', timeout: '20s' }];
const RELEASE = [{ name: 'release', run: 'rm -f /run/app.held', timeout: '20s' }];

const ofMachines = (scene: DynamoDbScene, instance: string): Recordings => {
  const { aws, stage } = scene;
  const backup = (id: string, more: Record<string, unknown> = {}) =>
    begin(stage, { kind: 'machine-backup', id, instance, before: HOLD, after: RELEASE, ...more });
  return {
    'machine-backup-failed-then-done': async () => {
      // What the retention of the one that is recorded deletes.
      await untilStatus(await backup('replay-backup'), 'there is an older one', isDone);
      aws.control.machines.failImages({ message: 'no room' });
      const handle = await backup('replay-backup', { retention: { keepLast: 1 } });
      await untilStatus(handle, 'the image failed', isParked);
      await handle.retry({ by: 'test' });
      await untilStatus(handle, 'done', isDone);
      return handle.id;
    },
    'machine-backup-aborted': async () => {
      aws.control.setTiming({ imagePending: 60_000, snapshotPending: 60_000 });
      try {
        const handle = await backup('replay-backup-aborted');
        await untilStatus(handle, 'it waits', ({ step }) => step === 'wait');
        await handle.abort({ by: 'test', reason: 'recorded' });
        await untilStatus(handle, 'aborted', isAborted);
        return handle.id;
      } finally {
        aws.control.setTiming({ imagePending: 100, snapshotPending: 100 });
      }
    },
    'machine-backup-held-then-aborted': async () => {
      const before = [{ name: 'hold', run: 'touch /var/held; sleep 600', timeout: '10m' }];
      const after = [{ name: 'release', run: 'rm -f /var/held', timeout: '20s' }];
      const handle = await backup('replay-backup-held', { before, after, guard: '15m' });
      await until('it holds', async () => aws.control.machines.readFile(instance, '/var/held') !== undefined);
      await handle.abort({ by: 'test', reason: 'recorded' });
      await untilStatus(handle, 'aborted', isAborted);
      return handle.id;
    },
    'machine-restore-drill-failed-then-done': async () => {
      const machines = new Machines(stage, aws);
      const file = example('machine-restore.yaml') as unknown as MachineRestore;
      const steps = file.steps.map((step) => (step.type === 'clean-up' ? outOfOrderAtFirst(step) : step));
      const handle = await begin(stage, { ...file, id: 'replay-drill-machine', steps });
      await untilStatus(handle, 'asked about the builds', atGate);
      await handle.approve({ by: 'test' });
      await untilStatus(handle, 'a build is left', isParked);
      const [made] = await machines.living('replay-drill-machine');
      await aws.control.machines.run(made!.InstanceId!, 'touch /tmp/mended');
      await handle.retry({ by: 'test' });
      await untilStatus(handle, 'done', isDone);
      return handle.id;
    },
    'machine-restore-switch-failed-then-aborted': async () => {
      const handle = await begin(stage, {
        kind: 'machine-restore',
        id: 'replay-switch',
        from: { latestOf: { migration: 'services-machine' } },
        switch: [
          { type: 'command', run: ['true'] },
          {
            type: 'command',
            // It prints its secret and fails: what is said of it is in the history.
            run: ['sh', '-c', 'echo "refused: $TOKEN"; echo "refused: $TOKEN" >&2; exit 1'],
            env: { TOKEN: { env: 'REPLAY_TOKEN' } },
          },
        ],
      });
      const parked = await untilStatus(handle, 'the switch failed', isParked);
      if (!/\[secret\]/.test(parked.operator?.reason ?? '')) throw new Error('the hook did not print its secret');
      await handle.abort({ by: 'test', reason: 'recorded' });
      await untilStatus(handle, 'aborted', isAborted);
      return handle.id;
    },
  };
};

const outOfOrderAtFirst = (step: StepOf<'clean-up'>) => ({
  ...step,
  gate: 'manual',
  each: `[ -e /tmp/mended ] || { echo "no console" >&2; exit 1; }\n${step.each}`,
});

const ofQuestions = (scene: DynamoDbScene, instance: string): Recordings => {
  const { client } = scene.stage;
  return {
    preflight: async () => {
      const file = { kind: 'machine-backup', id: 'replay-checks', instance, aws: { region: scene.aws.region } };
      await runPreflight(client, { migration: parseMigration(JSON.stringify(file), 'replay.yaml') });
      return 'preflight-replay-checks';
    },
    catalogue: async () => {
      const { entries, unknown } = await catalogue(client, { region: scene.aws.region });
      if (entries.length === 0 || unknown.length > 0) throw new Error('there is a system that was not asked');
      // Its id is drawn; the server lists it a moment later.
      return until('the list has it', async () => {
        for await (const { workflowId } of client.workflow.list({ query: `WorkflowType = 'catalogue'` }))
          return workflowId;
        return undefined;
      });
    },
  };
};
