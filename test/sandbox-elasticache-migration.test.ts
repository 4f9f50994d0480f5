import {
  CompleteMigrationCommand,
  DescribeCacheClustersCommand,
  StartMigrationCommand,
  TestMigrationCommand,
} from '@aws-sdk/client-elasticache';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { freePort } from '../sandbox/runtime/ports.ts';
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
let rig: Rig;
beforeAll(async () => {
  rig = await startRig();
}, MINUTES);
afterEach(() => rig.aws.control.reset());
afterAll(async () => {
  expect(rig.aws.control.failures()).toEqual([]);
  await rig.end();
}, MINUTES);

const complete = (id: string, Force?: boolean): Promise<unknown> =>
  rig.client.send(new CompleteMigrationCommand({ ReplicationGroupId: id, ...(Force === undefined ? {} : { Force }) }));
const role = async (port: number): Promise<unknown> => ((await rig.redis(port).call('ROLE')) as unknown[])[0];

test.each([
  ['a source that wants a password', { password: 'hunter2-hunter2' }],
  ['a source that has renamed PSYNC and SYNC', { config: { 'rename-command': ['PSYNC ""', 'SYNC ""'] } }],
  ['no source at all', undefined],
])(
  '%s cannot be attached: available again, promoted, and an event says so',
  async (what, options) => {
    rig.aws.control.setTiming({ attach: 2_500 });
    const id = `bad-${what.length}`;
    const group = await createTarget(rig, id);
    await rig.redis(primaryPort(group)).set('own', 'data');
    const port = options === undefined ? await freePort() : (await rig.source(options)).port;
    await startMigration(rig, id, port);
    expect((await describeGroup(rig, id)).Status).toBe('modifying');
    expect(await refusal(complete(id))).toMatchObject({ Code: 'InvalidReplicationGroupState' });
    await untilMessage(rig, id, new RegExp(`^Migration operation failed for replication group ${id}\\.`));
    await untilStatus(rig, id, 'available');
    expect(await role(primaryPort(group))).toBe('master');
    expect(await rig.redis(primaryPort(group)).get('own')).toBe('data');
    expect(await refusal(complete(id))).toMatchObject({
      name: 'ReplicationGroupNotUnderMigrationFault',
      Code: 'ReplicationGroupNotUnderMigrationFault',
    });
    rig.aws.control.setTiming({ attach: 5_000 });
  },
  MINUTES,
);

test(
  'a refusal to attach can be scripted, and the next start succeeds',
  async () => {
    await createTarget(rig, 'refused');
    const source = await rig.source();
    rig.aws.control.refuseAttach({});
    await startMigration(rig, 'refused', source.port);
    await untilMessage(rig, 'refused', /failed/);
    await untilStatus(rig, 'refused', 'available');
    await startMigration(rig, 'refused', source.port);
    await untilStatus(rig, 'refused', 'migrating');
    const again = rig.client.send(
      new StartMigrationCommand({
        ReplicationGroupId: 'refused',
        CustomerNodeEndpointList: [{ Address: '127.0.0.1', Port: source.port }],
      }),
    );
    expect(await refusal(again)).toMatchObject({
      name: 'ReplicationGroupAlreadyUnderMigrationFault',
      Code: 'ReplicationGroupAlreadyUnderMigrationFault',
    });
  },
  MINUTES,
);

test(
  'a source with more databases than the target ends the migration, and the target comes back',
  async () => {
    const group = await createTarget(rig, 'narrow');
    const source = await rig.source({ config: { databases: '64' } });
    await source.connect({ db: 40 }).set('far', 'out');
    await startMigration(rig, 'narrow', source.port);
    await untilMessage(rig, 'narrow', /^Migration operation failed/);
    await untilStatus(rig, 'narrow', 'available');
    await until('both nodes run again', async () => {
      const found = await rig.client.send(new DescribeCacheClustersCommand({}));
      const mine = (found.CacheClusters ?? []).filter((node) => node.ReplicationGroupId === 'narrow');
      return mine.length === 2 && mine.every((node) => node.CacheClusterStatus === 'available');
    });
    const now = await untilStatus(rig, 'narrow', 'available');
    // Both nodes die of it, one just before the other: either may be the primary in the end.
    const ports = (group.NodeGroups?.[0]?.NodeGroupMembers ?? []).map((member) => member.ReadEndpoint?.Port);
    expect(ports).toContain(primaryPort(now));
    expect(await rig.redis(primaryPort(now)).set('k', 'v')).toBe('OK');
  },
  MINUTES,
);

test(
  'TestMigration tells by an event what a real connection finds, and changes nothing',
  async () => {
    const group = await createTarget(rig, 'probe');
    const open = await rig.source();
    const closed = await rig.source({ password: 'hunter2-hunter2' });
    const probe = (port: number): Promise<unknown> =>
      rig.client.send(
        new TestMigrationCommand({
          ReplicationGroupId: 'probe',
          CustomerNodeEndpointList: [{ Address: '127.0.0.1', Port: port }],
        }),
      );
    await probe(open.port);
    await untilMessage(rig, 'probe', /Test Migration succeeded/);
    await probe(closed.port);
    expect(await untilMessage(rig, 'probe', /Test Migration failed.*NOAUTH/)).not.toContain('hunter2');
    const nobody = await freePort();
    await probe(nobody);
    await untilMessage(rig, 'probe', new RegExp(`Test Migration failed.*${nobody}.*ECONNREFUSED`));
    expect((await describeGroup(rig, 'probe')).Status).toBe('available');
    expect(await role(primaryPort(group))).toBe('master');
  },
  MINUTES,
);

test(
  'Complete fails while the source hangs and while it is scripted to, stays migrating, and can be tried again',
  async () => {
    rig.aws.control.setTiming({ completeCheck: 300 });
    const group = await createTarget(rig, 'patient');
    const source = await rig.source();
    await source.connect().set('k', 'v');
    await startMigration(rig, 'patient', source.port);
    await untilStatus(rig, 'patient', 'migrating');
    await untilInSync(source.connect(), rig.redis(primaryPort(group)));

    source.signal('SIGSTOP');
    await complete('patient');
    await untilMessage(rig, 'patient', /^Migration operation failed.*not in sync/);
    expect((await describeGroup(rig, 'patient')).Status).toBe('migrating');
    expect(await role(primaryPort(group))).toBe('slave');
    source.signal('SIGCONT');
    await untilInSync(source.connect(), rig.redis(primaryPort(group)));

    rig.aws.control.completeAs({ mode: 'fail', times: 2 });
    for (const failures of [2, 3]) {
      await complete('patient');
      await until(
        `${failures} events of failure`,
        async () =>
          (await messages(rig, 'patient')).filter((text) => text.startsWith('Migration operation failed')).length ===
          failures,
      );
      expect((await describeGroup(rig, 'patient')).Status).toBe('migrating');
    }
    rig.aws.control.setTiming({ completeCheck: 20_000 });
    await complete('patient');
    await untilStatus(rig, 'patient', 'available');
    expect(await role(primaryPort(group))).toBe('master');
    expect(await rig.redis(primaryPort(group)).get('k')).toBe('v');
  },
  MINUTES,
);

test(
  'Force stops a migration at once, and the partial data stays',
  async () => {
    const group = await createTarget(rig, 'forced');
    const source = await rig.source();
    await source.connect().set('k', 'v');
    await startMigration(rig, 'forced', source.port);
    await untilStatus(rig, 'forced', 'migrating');
    await untilInSync(source.connect(), rig.redis(primaryPort(group)));
    source.signal('SIGSTOP');
    await complete('forced', true);
    await untilStatus(rig, 'forced', 'available');
    source.signal('SIGCONT');
    expect(await role(primaryPort(group))).toBe('master');
    expect(await rig.redis(primaryPort(group)).get('k')).toBe('v');
    expect(await messages(rig, 'forced')).not.toContain('Complete Migration successful for forced');
    expect(await source.connect().get('k')).toBe('v');
  },
  MINUTES,
);

test(
  'Complete can promote without saying so, and can do nothing without saying so',
  async () => {
    const [source, other] = [await rig.source(), await rig.source()];
    const stuck = await createTarget(rig, 'stuck');
    const ignored = await createTarget(rig, 'ignored');
    await startMigration(rig, 'stuck', source.port);
    await startMigration(rig, 'ignored', other.port);
    await untilStatus(rig, 'stuck', 'migrating');
    await untilStatus(rig, 'ignored', 'migrating');
    await untilInSync(source.connect(), rig.redis(primaryPort(stuck)));

    rig.aws.control.completeAs({ mode: 'stuck' });
    await complete('stuck');
    await until('the primary is promoted', async () => (await role(primaryPort(stuck))) === 'master');
    expect((await describeGroup(rig, 'stuck')).Status).toBe('migrating');
    expect((await messages(rig, 'stuck')).some((text) => /Migration/.test(text))).toBe(false);

    rig.aws.control.completeAs({ mode: 'ignored' });
    await complete('ignored');
    // Its work is done when another Complete is let in again.
    await until('the ignored call is over', async () =>
      complete('ignored').then(
        () => true,
        () => false,
      ),
    );
    expect((await messages(rig, 'ignored')).filter((text) => text.startsWith('Migration operation failed'))).toEqual(
      [],
    );
    await untilStatus(rig, 'ignored', 'available');
    expect(await role(primaryPort(ignored))).toBe('master');
  },
  MINUTES,
);

test(
  'a primary that is replaced under migration: its replica takes over port and source, Complete fails meanwhile',
  async () => {
    const group = await createTarget(rig, 'replaced');
    const port = primaryPort(group);
    const source = await rig.source();
    const writer = source.connect();
    await writer.set('before', '1');
    await startMigration(rig, 'replaced', source.port);
    await untilStatus(rig, 'replaced', 'migrating');
    await untilInSync(source.connect(), rig.redis(port));
    rig.aws.control.setTiming({ recovering: 400 });
    await rig.aws.control.replaceNode({ group: 'replaced' });
    await complete('replaced');
    await untilMessage(rig, 'replaced', /^Migration operation failed.*being replaced/);
    expect(await messages(rig, 'replaced')).toContain('Failover to replica node replaced-002 completed');

    await writer.set('meanwhile', '2');
    const now = await untilStatus(rig, 'replaced', 'migrating');
    expect(primaryPort(now)).toBe(port);
    expect(now.NodeGroups?.[0]?.NodeGroupMembers?.map((node) => [node.CacheClusterId, node.CurrentRole])).toEqual([
      ['replaced-002', 'primary'],
      ['replaced-001', 'replica'],
    ]);
    await untilInSync(source.connect(), rig.redis(port));
    await complete('replaced');
    await untilStatus(rig, 'replaced', 'available');
    expect(await rig.redis(port).mget('before', 'meanwhile')).toEqual(['1', '2']);
    // The replacement of the dead node has the data as well.
    const replica = rig.aws.control.nodes({ group: 'replaced' }).find((node) => node.role === 'replica');
    await until(
      'the new replica is filled',
      async () => (await rig.redis(replica?.port ?? 0).get('meanwhile')) === '2',
    );
  },
  MINUTES,
);

test(
  'a node of a group at rest dies: failover, no data lost, the endpoint stays',
  async () => {
    const group = await createTarget(rig, 'atrest', { NumCacheClusters: 3 });
    const port = primaryPort(group);
    await rig.redis(port).set('k', 'v');
    await rig.redis(port).wait(2, 10_000);
    await rig.aws.control.replaceNode({ group: 'atrest' });
    await untilMessage(rig, 'atrest', /Failover to replica node atrest-00[23] completed/);
    await until('the new primary answers', async () =>
      rig
        .redis(port)
        .set('after', '1')
        .then(
          () => true,
          () => false,
        ),
    );
    expect(await rig.redis(port).get('k')).toBe('v');
    const now = await untilStatus(rig, 'atrest', 'available');
    expect(primaryPort(now)).toBe(port);
    for (const { port: each } of rig.aws.control.nodes({ group: 'atrest' })) {
      await until(`node at ${each} has both keys`, async () => (await rig.redis(each).get('after')) === '1');
    }
  },
  MINUTES,
);

test(
  'a source that gathers replicas before it syncs is attached while it still waits',
  async () => {
    rig.aws.control.setTiming({ attach: 2_000 });
    const group = await createTarget(rig, 'gathered');
    // Longer than the target tries to attach.
    const source = await rig.source({ config: { 'repl-diskless-sync-delay': '6' } });
    await source.connect().set('k', 'v');
    await startMigration(rig, 'gathered', source.port);
    await untilStatus(rig, 'gathered', 'migrating');
    await untilInSync(source.connect(), rig.redis(primaryPort(group)));
    expect(await rig.redis(primaryPort(group)).get('k')).toBe('v');
    rig.aws.control.setTiming({ attach: 5_000 });
  },
  MINUTES,
);

test(
  'a primary that hangs is promoted when it goes on, and is not called promoted before',
  async () => {
    const group = await createTarget(rig, 'frozen');
    const source = await rig.source();
    await startMigration(rig, 'frozen', source.port);
    await untilStatus(rig, 'frozen', 'migrating');
    await untilInSync(source.connect(), rig.redis(primaryPort(group)));
    rig.aws.control.freezeNode({ node: 'frozen-001' });
    await complete('frozen', true);
    expect(await refusal(complete('frozen'))).toMatchObject({ Code: 'InvalidReplicationGroupState' });
    expect((await describeGroup(rig, 'frozen')).Status).toBe('migrating');
    rig.aws.control.thawNode({ node: 'frozen-001' });
    await untilStatus(rig, 'frozen', 'available');
    expect(await role(primaryPort(group))).toBe('master');
  },
  MINUTES,
);
