import {
  CreateReplicationInstanceCommand,
  DeleteConnectionCommand,
  DeleteEndpointCommand,
  DeleteReplicationInstanceCommand,
  DeleteReplicationTaskCommand,
  ModifyEndpointCommand,
  ModifyReplicationInstanceCommand,
  ModifyReplicationTaskCommand,
  ReloadTablesCommand,
  StartReplicationTaskCommand,
  StopReplicationTaskCommand,
  TestConnectionCommand,
} from '@aws-sdk/client-database-migration-service';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { EngineRefusal } from '../sandbox/aws/dms/engine/contract.ts';
import { VALUE, COMBINATION, STATE, expectRefused } from './sandbox-dms-expect.ts';
import {
  ALL_TABLES,
  makeEndpoint,
  makeParts,
  makeTask,
  startDmsRig,
  startTask,
  untilTask,
  test as testConnection,
} from './sandbox-dms-setup.ts';
import type { DmsRig, Parts } from './sandbox-dms-setup.ts';

let rig: DmsRig;
let parts: Parts;
let ready: string;
let running: string;
let stopped: string;
beforeAll(async () => {
  rig = await startDmsRig();
  parts = await makeParts(rig, 'r');
  ready = await makeTask(rig, 'ready', parts);
  running = await makeTask(rig, 'running', parts);
  stopped = await makeTask(rig, 'stopped', parts);
  for (const arn of [running, stopped]) {
    await startTask(rig, arn);
    await untilTask(rig, arn, 'running');
  }
  await rig.client.send(new StopReplicationTaskCommand({ ReplicationTaskArn: stopped }));
  await untilTask(rig, stopped, 'stopped');
});
afterAll(async () => {
  await rig?.end();
});

const instance = { ReplicationInstanceIdentifier: 'other', ReplicationInstanceClass: 'dms.t3.medium' };

describe('a task in the wrong state', () => {
  const start = (arn: string, type: string): Promise<unknown> =>
    rig.client.send(
      new StartReplicationTaskCommand({ ReplicationTaskArn: arn, StartReplicationTaskType: type as never }),
    );
  const tables = (count: number, name = 't'): { SchemaName: string; TableName: string }[] =>
    Array.from({ length: count }, (_, i) => ({
      SchemaName: 'public',
      TableName: `${name}${String(i).padStart(4, '0')}`,
    }));

  test('start', async () => {
    await expectRefused(start(ready, 'resume-processing'), COMBINATION, /RESUME_PROCESSING/);
    await expectRefused(start(ready, 'reload-target'), COMBINATION, /RELOAD_TARGET/);
    await expectRefused(
      start(stopped, 'start-replication'),
      COMBINATION,
      /START_REPLICATION, valid only for tasks running for the first time/,
    );
    await expectRefused(start(running, 'resume-processing'), STATE, /cannot be started, invalid state/);
    await expectRefused(start(ready, 'go'), VALUE, /'go'/);
  });

  test('stop, modify, delete, reload', async () => {
    for (const arn of [ready, stopped]) {
      await expectRefused(
        rig.client.send(new StopReplicationTaskCommand({ ReplicationTaskArn: arn })),
        STATE,
        /cannot be stopped/,
      );
      await expectRefused(
        rig.client.send(new ReloadTablesCommand({ ReplicationTaskArn: arn, TablesToReload: tables(1) })),
        STATE,
        /only while .*running/,
      );
    }
    await expectRefused(
      rig.client.send(new ModifyReplicationTaskCommand({ ReplicationTaskArn: running, TableMappings: ALL_TABLES })),
      STATE,
      /excluding logging severity task settings, cannot be modified while it is running state/,
    );
    await expectRefused(
      rig.client.send(new ModifyReplicationTaskCommand({ ReplicationTaskArn: stopped, MigrationType: 'cdc' })),
      COMBINATION,
      /migration type/,
    );
    await expectRefused(
      rig.client.send(
        new ModifyReplicationTaskCommand({
          ReplicationTaskArn: stopped,
          ReplicationTaskSettings: '{"ValidationSettings":{"ValidationOnly":true}}',
        }),
      ),
      COMBINATION,
      /ValidationOnly/,
    );
    await expectRefused(
      rig.client.send(new DeleteReplicationTaskCommand({ ReplicationTaskArn: running })),
      STATE,
      /while it is running/,
    );
    for (const [wanted, message] of [
      [tables(11), /At most 10/],
      [tables(1, 'other'), /public\.other0000 is not part of/],
    ] as const) {
      await expectRefused(
        rig.client.send(new ReloadTablesCommand({ ReplicationTaskArn: running, TablesToReload: [...wanted] })),
        VALUE,
        message,
      );
    }
    await expectRefused(
      rig.client.send(
        new ReloadTablesCommand({
          ReplicationTaskArn: running,
          TablesToReload: tables(1),
          ReloadOption: 'validate-only',
        }),
      ),
      VALUE,
      /validation is enabled/,
    );
    const reload = new ReloadTablesCommand({ ReplicationTaskArn: running, TablesToReload: tables(2) });
    for (const [because, name] of [
      ['state', STATE],
      ['value', VALUE],
    ] as const) {
      rig.fake.reloadFailure = new EngineRefusal(because, 'not so');
      await expectRefused(rig.client.send(reload), name, /not so/);
    }
    // Any other failure is the sandbox's own, and must not pass for a state of the task.
    rig.fake.reloadFailure = new Error('a bug');
    await expectRefused(rig.client.send(reload), 'SandboxFailure', /a bug/);
    rig.fake.reloadFailure = undefined;
    await rig.client.send(reload);
  });

  test('what the tasks use can be neither deleted nor changed', async () => {
    await expectRefused(
      rig.client.send(new DeleteReplicationInstanceCommand({ ReplicationInstanceArn: parts.instance })),
      STATE,
      /one or more replication tasks/,
    );
    await expectRefused(
      rig.client.send(new DeleteEndpointCommand({ EndpointArn: parts.source })),
      STATE,
      /part of one or more ReplicationTasks/,
    );
    await expectRefused(
      rig.client.send(new ModifyEndpointCommand({ EndpointArn: parts.source, Port: 1 })),
      STATE,
      /running is running/,
    );
    await expectRefused(
      rig.client.send(
        new DeleteConnectionCommand({ EndpointArn: parts.source, ReplicationInstanceArn: parts.instance }),
      ),
      STATE,
      /in use by replication task/,
    );
  });
});

test('a task is not started before both connections were tested with success', async () => {
  const fresh = await makeEndpoint(rig, 'untested', 'target', { ...endpointAt, user: 'refused' });
  const task = await makeTask(rig, 'untested', { ...parts, target: fresh });
  const text = /Test connection for replication instance and endpoint should be successful/;
  await expectRefused(startTask(rig, task), STATE, text);
  rig.fake.refused.set('refused', 'FATAL: password authentication failed for user "refused"');
  const { status, failure } = await testConnection(rig, parts.instance, fresh);
  expect(status).toBe('failed');
  expect(failure).toMatch(/^Test Endpoint failed: .*password authentication failed for user "refused"/);
  await expectRefused(startTask(rig, task), STATE, text);
  rig.fake.refused.clear();
  expect(await testConnection(rig, parts.instance, fresh)).toEqual({ status: 'successful', failure: undefined });
  await startTask(rig, task);
});
const endpointAt = { host: 'h', port: 1, user: 'u', password: 'p', database: 'd' };

test('a connection is tested once at a time, and not while the instance is made', async () => {
  rig.aws.control.setTiming({ dmsTesting: 300, dmsCreating: 300 });
  const both = { ReplicationInstanceArn: parts.instance, EndpointArn: parts.source };
  await rig.client.send(new TestConnectionCommand(both));
  await expectRefused(rig.client.send(new TestConnectionCommand(both)), STATE, /already being tested/);
  const made = await rig.client.send(
    new CreateReplicationInstanceCommand({ ...instance, ReplicationInstanceIdentifier: 'slow' }),
  );
  const slow = made.ReplicationInstance?.ReplicationInstanceArn ?? '';
  await expectRefused(
    rig.client.send(new TestConnectionCommand({ ...both, ReplicationInstanceArn: slow })),
    STATE,
    /not in available state: creating/,
  );
  await expectRefused(
    rig.client.send(new ModifyReplicationInstanceCommand({ ReplicationInstanceArn: slow, MultiAZ: true })),
    STATE,
    /creating/,
  );
  await expectRefused(
    rig.client.send(new DeleteReplicationInstanceCommand({ ReplicationInstanceArn: slow })),
    STATE,
    /creating/,
  );
  rig.aws.control.setTiming({ dmsTesting: 20, dmsCreating: 20 });
});
