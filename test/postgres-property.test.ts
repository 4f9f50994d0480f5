/**
 * A random schema either migrates exactly, or is refused by the preflight with the table and the reason named; what is
 * refused is then copied by hand or left out, as the preflight says, and the rest must be equal. Never a silent difference.
 */
import * as fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { checkMigration, runPreflight, startMigration } from '../client/index.ts';
import { compareDatabases } from '../sandbox/app/redash/compare.ts';
import { APPLICATION_ROLE, DMS_ROLE, REDASH_DATABASE, WORKER_ROLE } from '../sandbox/app/redash/roles.ts';
import type { Aws } from '../sandbox/aws/index.ts';
import { randomTables, statementsOf, type RandomTable } from './random-schema.ts';
import { endpointOf, openDms, openServers, postgresWorkerEnvironment } from './stage/postgres.ts';
import { isDone, Stage, untilStatus } from './stage/stage.ts';

let stage: Stage;
let aws: Aws;

beforeAll(async () => {
  stage = await Stage.open();
  aws = await openDms(stage);
  await stage.worker(postgresWorkerEnvironment(aws));
});
afterAll(() => stage.close());

let runs = 0;

const pattern = ({ name }: RandomTable) => `public."${name.replaceAll('"', '""')}"`;

async function migrates(tables: RandomTable[]): Promise<void> {
  const id = `random-${(runs += 1)}`;
  const { source, target } = await openServers(stage);
  try {
    const client = await source.connect({ database: REDASH_DATABASE });
    await client.query(`CREATE TYPE public.mood AS ENUM ('sad', 'ok', 'very happy')`);
    for (const statement of tables.flatMap(statementsOf)) await client.query(statement);
    await client.query('ANALYZE');
    await client.end();
    const side = ({ host, port }: typeof source) => ({
      host,
      port,
      database: REDASH_DATABASE,
      user: WORKER_ROLE,
      password: { env: 'TEST_WORKER_PASSWORD' },
    });
    const dms = { user: DMS_ROLE, password: { env: 'TEST_DMS_PASSWORD' }, sslMode: 'none' };
    const migration = (copyByHand: string[], leaveOut: string[]) => ({
      kind: 'postgres',
      id,
      source: side(source),
      target: side(target),
      tables: { include: ['public.*'], copyByHand, leaveOut },
      replication: { engine: 'dms', aws: { region: aws.region }, sourceEndpoint: dms, targetEndpoint: dms },
      ready: { interval: '200ms', readings: 2 },
      cutover: { gate: 'auto', applicationRoles: [APPLICATION_ROLE] },
    });
    const refusals = async (copyByHand: string[], leaveOut: string[]) => {
      const report = await runPreflight(stage.client, {
        migration: checkMigration(migration(copyByHand, leaveOut) as never),
      });
      return report.checks.filter(({ result }) => result === 'fail');
    };
    const names = (checks: { found: string }[]) =>
      tables.filter(({ name }) => checks.some(({ found }) => found.includes(name.replaceAll('"', '""'))));
    const first = await refusals([], []);
    const byHand = names(first);
    // Every refusal names a table: there is nothing else wrong with these servers.
    expect(first.filter((one) => names([one]).length === 0)).toEqual([]);
    const second = await refusals(byHand.map(pattern), []);
    const leftOut = names(second);
    const byHandStill = byHand.filter((one) => !leftOut.includes(one));
    expect(await refusals(byHandStill.map(pattern), leftOut.map(pattern))).toEqual([]);

    const handle = await startMigration(stage.client, {
      migration: migration(byHandStill.map(pattern), leftOut.map(pattern)) as never,
    });
    const status = await untilStatus(
      handle,
      'ended, or asks',
      (now) => isDone(now) || now.phase === 'needs-operator',
      180_000,
    );
    expect(status.phase, `${status.step}: ${status.operator?.reason}`).toBe('done');
    const { differences } = await compareDatabases(endpointOf(source, 'worker'), endpointOf(target, 'worker'));
    const meant = (text: string) =>
      leftOut.some(({ name }) => text.includes(name) || text.includes(name.replaceAll('"', '""')));
    expect(differences.filter(({ name }) => !meant(name) && !name.includes('cutover'))).toEqual([]);
  } finally {
    await Promise.all([source.stop(), target.stop()]);
  }
}

test('random schemas migrate exactly, or are refused with the reason', async () => {
  await fc.assert(fc.asyncProperty(randomTables, migrates), {
    numRuns: Number(process.env['CUTOVER_PROPERTY_RUNS'] ?? 3),
    endOnFailure: true,
  });
}, 900_000);
