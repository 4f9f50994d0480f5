/**
 * The article's own runbook as one workflow: its two JSON files as they are, `queries` copied by hand, the load under
 * `session_replication_role = replica` for the whole target, sequences its own way, ECS and the load balancer switched, and
 * back again where a functional check says so. Its plugin, pglogical, is not to be had on this server: test_decoding.
 */
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { loadMigrationFile, runPreflight, startMigration, type PreflightReport } from '../client/index.ts';
import { columnsAheadOfTheirSequence } from '../sandbox/app/redash/compare-sequences.ts';
import { APPLICATION_ROLE, REDASH_DATABASE } from '../sandbox/app/redash/roles.ts';
import { failuresOf, verifyRedash } from '../sandbox/app/redash/verify.ts';
import type { Aws } from '../sandbox/aws/index.ts';
import type { PostgresServer } from '../sandbox/runtime/postgres.ts';
import type { SequenceResult } from '../spec/postgres-plan.ts';
import { furnishSurroundings, startMotoWithTasks, type Surroundings } from './stage/load-balancer.ts';
import {
  endpointOf,
  expectMigrated,
  expectNothingLeft,
  expectWritesOn,
  furnishPostgresScene,
  openDms,
  postgresWorkerEnvironment,
  throughTheGate,
  type PostgresScene,
} from './stage/postgres.ts';
import { atGate, isDone, Stage, untilStatus } from './stage/stage.ts';

const [MAPPINGS, SETTINGS] = ['redash-table-mappings.json', 'redash-task-settings.json'] as const;

/** All that the article's settings lose, hide or risk. */
const LOSSES = [
  'ErrorBehavior.DataErrorPolicy = "LOG_ERROR"',
  'ErrorBehavior.DataTruncationErrorPolicy = "LOG_ERROR"',
  'ErrorBehavior.ApplyErrorInsertPolicy = "LOG_ERROR"',
  'ErrorBehavior.ApplyErrorUpdatePolicy = "LOG_ERROR"',
  'ErrorBehavior.ApplyErrorDeletePolicy = "IGNORE_RECORD"',
  'ErrorBehavior.ApplyErrorEscalationPolicy = "LOG_ERROR"',
  'ErrorBehavior.RecoverableErrorCount = -1',
  'ErrorBehavior.FailOnTransactionConsistencyBreached = false',
  'TargetMetadata.TaskRecoveryTableEnabled = false',
  'FullLoadSettings.TargetTablePrepMode = "DO_NOTHING"',
];

let stage: Stage;
let aws: Aws;
let around: Surroundings;
let scheduler: Server;
let schedulerRuns = false;

beforeAll(async () => {
  stage = await Stage.open();
  const moto = await startMotoWithTasks(stage);
  aws = await openDms(stage, { forward: moto });
  // By way of the sandbox's address, as the worker's hooks go.
  around = await furnishSurroundings(stage, aws.url);
  await stage.worker(postgresWorkerEnvironment(aws));
  scheduler = createServer((_request, response) => {
    response.writeHead(schedulerRuns ? 200 : 503).end(schedulerRuns ? 'scheduler: running' : 'no scheduler');
  });
  await new Promise<void>((ready) => scheduler.listen(0, '127.0.0.1', ready));
});
afterAll(async () => {
  scheduler?.close();
  await stage.close();
});

/** The scene's migration as a file in a folder of its own, with the article's documents beside it. */
function writeArticle(scene: Pick<PostgresScene, 'id' | 'migration'>, more: Record<string, unknown>): string {
  const folder = join(stage.dir, `file-${scene.id}`);
  mkdirSync(folder, { recursive: true });
  for (const name of [MAPPINGS, SETTINGS]) copyFileSync(join('examples', name), join(folder, name));
  const { replication, ...rest } = scene.migration;
  const document = {
    ...rest,
    replication: {
      ...(replication as object),
      plugin: 'test_decoding',
      tableMappings: { file: MAPPINGS },
      taskSettings: { file: SETTINGS },
    },
    ...more,
  };
  const path = join(folder, `${scene.id}.yaml`);
  writeFileSync(path, stringify(document));
  return path;
}

async function preflight(file: string): Promise<PreflightReport> {
  return runPreflight(stage.client, { migration: await loadMigrationFile(file) });
}

const checkOf = (report: unknown, id: string) => (report as PreflightReport).checks.find((check) => check.id === id);
const failedOf = (report: PreflightReport) =>
  report.checks.filter(({ result }) => result === 'fail').map(({ id, found }) => `${id}: ${found}`);

/** As the article's parameter group does it: for every session of the server. */
async function replicaEverywhere(target: PostgresServer): Promise<void> {
  await target.query(`ALTER SYSTEM SET session_replication_role = 'replica'`);
  await target.query('SELECT pg_reload_conf()');
}

function articleSwitch({ migration, target, source, control }: Omit<PostgresScene, 'handle'>): unknown[] {
  const [timeout, place] = ['20s', (server: PostgresServer) => ({ host: server.host, port: server.port })];
  const { cluster, service, rule, newGroup, oldGroup } = around;
  const url = `${control.url}/switch`;
  // Its tasks write once all is proven: until then the way back is open.
  const body = (server: PostgresServer) => ({ ...place(server), database: REDASH_DATABASE, start: false });
  expect(migration['switch']).toHaveLength(1);
  return [
    { type: 'webhook', name: 'its new database', url, body: body(target), undo: { url, body: body(source) }, timeout },
    { type: 'ecs-service', cluster, service, taskDefinition: 'redash:2', timeout },
    { type: 'elb-listener', rule, targetGroup: newGroup, timeout },
    { type: 'elb-deregister', targetGroup: oldGroup, timeout },
  ];
}

const before = () => ({ taskDefinition: 'redash:1', ruleGoesTo: around.oldGroup, oldTargets: [around.oldMachine] });

test('the article, with what it loses said aloud, switched by ECS and the load balancer, and back where a check fails', async () => {
  const furnished = await furnishPostgresScene(stage, aws, { id: 'article', rows: 2_000, rate: 30 });
  await furnished.source.query(
    `CREATE TABLE queries_archive (id int PRIMARY KEY, body text); INSERT INTO queries_archive VALUES (1, 'old');
     ALTER TABLE queries_archive OWNER TO ${APPLICATION_ROLE}`,
    [],
    REDASH_DATABASE,
  );
  await replicaEverywhere(furnished.target);
  const address = scheduler.address() as { port: number };
  const more = {
    switch: articleSwitch(furnished),
    checks: [
      {
        type: 'http',
        url: `${furnished.control.url}/health`,
        expectBody: `"port":${furnished.target.port}`,
        timeout: '20s',
      },
      {
        type: 'http',
        name: 'the scheduler runs',
        url: `http://127.0.0.1:${address.port}/`,
        expectBody: 'running',
        timeout: '2s',
      },
      { type: 'sql', query: 'SELECT count(*) > 0 FROM public.queries', expect: true, timeout: '10s' },
    ],
  };

  // `queries%` shuts out more than the one table that the article copies by hand.
  const asItStands = writeArticle(furnished, { ...more, tables: { copyByHand: ['public.queries'] } });
  const refused = await preflight(asItStands);
  expect(failedOf(refused)).toEqual([
    'P.tables.uncovered: the replication leaves out, and nothing else moves: public.queries_archive',
  ]);
  expect(checkOf(refused, 'D.settings')!.result).toBe('warn');
  for (const loss of LOSSES) expect(checkOf(refused, 'D.settings')!.found).toContain(loss);
  expect(checkOf(refused, 'P.target.replica.off')).toMatchObject({ result: 'warn' });
  const parked = await startMigration(stage.client, { file: asItStands });
  const asked = await untilStatus(parked, 'parked', ({ phase }) => phase === 'needs-operator');
  expect(asked.operator?.reason).toContain('public.queries_archive');
  await parked.abort({ by: 'test' });
  await untilStatus(parked, 'aborted', ({ phase }) => phase === 'aborted');

  const file = writeArticle(furnished, {
    ...more,
    tables: { copyByHand: ['public.queries', 'public.queries_archive'] },
  });
  expect(failedOf(await preflight(file))).toEqual([]);
  const scene = { ...furnished, handle: await startMigration(stage.client, { file }) };
  await untilStatus(scene.handle, 'at the gate', atGate, 180_000);

  // Everybody's foreign keys and triggers are asleep on the target: nothing is fenced while they are.
  await scene.handle.approve({ by: 'test' });
  const asleep = await untilStatus(scene.handle, 'refused', ({ cutovers }) => cutovers[0]?.outcome === 'undone');
  expect(asleep.cutovers[0]?.reason).toContain('replica for the whole server: it must be origin before the switch');
  expect(asleep.cutovers[0]?.fencedAt).toBeUndefined();
  const remedy = checkOf(asleep.report['before-fence'], 'P.target.replica.off')!.remedy!;
  expect(remedy).toContain('ALTER SYSTEM RESET session_replication_role;');
  expect(await scene.source.query('SELECT role FROM cutover.fence', [], REDASH_DATABASE)).toEqual([]);
  expect(await around.now()).toEqual(before());
  await expectWritesOn(scene, scene.source);
  for (const statement of remedy.split('\n').filter((line) => line && !line.startsWith('--'))) {
    await scene.target.query(statement);
  }

  // Switched, and a functional check fails: all of it goes back.
  await untilStatus(scene.handle, 'at the gate again', atGate);
  await scene.handle.approve({ by: 'test' });
  const back = await untilStatus(
    scene.handle,
    'switched back',
    ({ cutovers }) => cutovers[1]?.outcome === 'undone' || cutovers[1]?.outcome === 'switched',
    180_000,
  );
  expect(back.cutovers[1]).toMatchObject({ outcome: 'undone', reason: expect.stringContaining('the scheduler runs') });
  expect(back.cutovers[1]!.phases.map(({ name }) => name)).toContain('switch');
  expect(await around.now()).toEqual(before());
  await expectWritesOn(scene, scene.source);

  schedulerRuns = true;
  const status = await throughTheGate(scene);
  expect(status.cutovers.map(({ outcome }) => outcome)).toEqual(['undone', 'undone', 'switched']);
  expect(await around.now()).toEqual({ taskDefinition: 'redash:2', ruleGoesTo: around.newGroup, oldTargets: [] });
  scene.app.startService();
  await expectMigrated(scene, status, aws);
  expect((status.report['sequences'] as SequenceResult).missed).toEqual([]);
  expect(scene.app.stats().endpoints.at(-1)?.keyConflicts).toBe(0);
}, 600_000);

test("sequences the article's way: the one that no column owns is missed, and named", async () => {
  const furnished = await furnishPostgresScene(stage, aws, { id: 'max-plus-one', rows: 2_000, rate: 30, gate: 'auto' });
  const url = `${furnished.control.url}/switch`;
  const { host, port } = furnished.target;
  const file = writeArticle(furnished, {
    tables: { copyByHand: ['public.queries'] },
    cutover: { ...(furnished.migration['cutover'] as object), sequences: { method: 'max-plus-one' } },
    switch: [{ type: 'webhook', url, body: { host, port, database: REDASH_DATABASE, start: false }, timeout: '20s' }],
  });
  const scene = { ...furnished, handle: await startMigration(stage.client, { file }) };
  const status = await untilStatus(scene.handle, 'done', isDone, 240_000);
  const sequences = status.report['sequences'] as SequenceResult;
  expect(sequences.missed).toEqual(['public.change_numbers']);
  expect(sequences.set).toBeGreaterThan(10);
  expect(status.warnings).toContain('sequences not set: public.change_numbers');

  // Every row is there, and of all sequences that one alone would give out numbers again.
  const record = await scene.app.end();
  const verified = await verifyRedash(endpointOf(scene.source, 'worker'), endpointOf(scene.target, 'worker'), record);
  // Where the newest rows were deleted, MAX + 1 is behind the source by design, and in nobody's way: of that, `behind` decides.
  const shortOfTheSource = /^sequences differ: .*: behind$/;
  const failures = failuresOf(verified).filter((text) => !text.includes('change_number'));
  expect(failures.filter((text) => !shortOfTheSource.test(text))).toEqual([]);
  const client = await scene.target.connect({ database: REDASH_DATABASE });
  const { behind } = await columnsAheadOfTheirSequence(client);
  await client.end();
  expect(behind).toEqual([expect.stringContaining('public.changes.change_number')]);
  await expectNothingLeft(scene, aws);
}, 300_000);
