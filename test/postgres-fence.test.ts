/** The fence, the opening, and the way back, on two real Postgres servers. */
import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import {
  fencePostgres,
  liftPostgresFence,
  provePostgresSourceWritable,
} from '../activities/postgres/fence-activities.ts';
import { closeTargetIfUnwritten, openTarget } from '../activities/postgres/opening.ts';
import { prepareOwnSchema, removeOwnSchema } from '../activities/postgres/own-schema.ts';
import { unfencePostgres } from '../activities/postgres/unfence.ts';
import { watchPostgresTarget } from '../activities/postgres/watch-target.ts';
import { ErrorType } from '../spec/errors.ts';
import { act, failureOf, startStage, type Pair, type PostgresStage } from './postgres-stage.ts';

let stage: PostgresStage;
let pair: Pair;
beforeAll(async () => {
  stage = await startStage();
});
afterAll(() => stage?.end());

beforeEach(async () => {
  pair = await stage.fresh({ cutover: { applicationRoles: ['app', 'App 2'], ignoreRoles: ['postgres'] } });
  for (const server of [stage.source, stage.target]) {
    for (const role of ['app', '"App 2"']) await server.query(`ALTER ROLE ${role} LOGIN`);
  }
  for (const sql of [pair.source, pair.target]) {
    await sql(`CREATE TABLE t (id serial PRIMARY KEY, v text); GRANT ALL ON t, t_id_seq TO app, "App 2"`);
  }
  await act(prepareOwnSchema, { migration: pair.migration });
});

const input = (cutover = 1) => ({ migration: pair.migration, cutover });
const mayLogIn = async (side: 'source' | 'target', role = 'app') =>
  pair.connect(side, role).then(
    async (client) => {
      await client.end();
      return true;
    },
    () => false,
  );

describe('fence', () => {
  test('ends every session, lets none back in, marks after the last write; lifting gives back what was', async () => {
    await stage.source.query(`ALTER ROLE "App 2" NOLOGIN`);
    const writer = await pair.connect('source');
    let acknowledged = 0;
    const writing = (async () => {
      for (;;) {
        await writer.query(`INSERT INTO t (v) VALUES ('x')`);
        acknowledged += 1;
      }
    })().catch((error: Error) => error);
    while (acknowledged < 20) await delay(5);

    const fence = await act(fencePostgres, input());
    expect(await writing).toBeInstanceOf(Error);
    expect(await pair.source('SELECT count(*)::int AS n FROM t')).toEqual([{ n: acknowledged }]);
    expect(await mayLogIn('source')).toBe(false);
    expect(await mayLogIn('target')).toBe(false);
    expect(fence.lsn).toMatch(/^[0-9A-F]+\/[0-9A-F]+$/);
    const marker = await pair.source(`SELECT value FROM cutover.marker WHERE id = '${pair.migration.id}:1'`);
    expect(marker).toEqual([{ value: fence.marker }]);
    // The marker's own record lies behind the position that was read before it.
    const after = await pair.source(`SELECT pg_current_wal_lsn() > $1::pg_lsn AS after`, [fence.lsn]);
    expect(after).toEqual([{ after: true }]);
    expect((await failureOf(act(provePostgresSourceWritable, { migration: pair.migration }))).message).toContain(
      'still up',
    );

    const again = await act(fencePostgres, input(), { attempt: 2 });
    expect(again.raisedAt).toBe(fence.raisedAt);
    expect(again.marker).not.toBe(fence.marker);

    const { detail } = await act(liftPostgresFence, { migration: pair.migration });
    expect(detail).toContain('app may log in again');
    expect(await mayLogIn('source')).toBe(true);
    expect(await mayLogIn('source', 'App 2')).toBe(false);
    expect(await mayLogIn('target')).toBe(true);
    await act(provePostgresSourceWritable, { migration: pair.migration });
    expect((await act(liftPostgresFence, { migration: pair.migration })).detail).toBe('there was no fence');
    // And up again, in the next cutover: what "App 2" had is still known.
    await act(fencePostgres, input(2));
    await act(liftPostgresFence, { migration: pair.migration });
    expect(await mayLogIn('source', 'App 2')).toBe(false);
    await stage.source.query(`ALTER ROLE "App 2" LOGIN`);
  });

  test('an earlier attempt that wakes up later neither fences nor lifts', async () => {
    await act(fencePostgres, input(), { attempt: 2 });
    const failure = await failureOf(act(fencePostgres, input(), { attempt: 1 }));
    expect(failure.type).toBe(ErrorType.deadline);
    expect(await mayLogIn('source')).toBe(false);
  });

  test("another migration's fence is left alone; unfence needs force for it", async () => {
    await act(fencePostgres, input());
    const other = { ...pair.migration, id: 'other' };
    expect((await failureOf(act(fencePostgres, { migration: other, cutover: 1 }))).type).toBe(ErrorType.notOurs);
    expect((await failureOf(act(liftPostgresFence, { migration: other }))).type).toBe(ErrorType.notOurs);
    expect((await failureOf(unfencePostgres(other.source, { migration: 'other' }))).type).toBe(ErrorType.notOurs);
    expect(await mayLogIn('source')).toBe(false);
    const lifted = await unfencePostgres(other.source, { migration: 'other', force: true });
    expect(lifted.changed).toBe(true);
    expect(await mayLogIn('source')).toBe(true);
  });

  test('a migration of another database of the server finds the role taken, and opens nothing of it', async () => {
    await stage.source.query(`COMMENT ON ROLE app IS 'the shop''s own'`);
    const comment = async () =>
      (await pair.source(`SELECT shobj_description(oid, 'pg_authid') AS text FROM pg_roles WHERE rolname = 'app'`))[0];
    await act(fencePostgres, input());
    const neighbour = await stage.fresh({ cutover: { applicationRoles: ['app'], ignoreRoles: ['postgres'] } });
    const other = { ...neighbour.migration, id: 'neighbour' };
    await act(prepareOwnSchema, { migration: other });
    const refused = await failureOf(act(fencePostgres, { migration: other, cutover: 1 }));
    expect(refused.type).toBe(ErrorType.notOurs);
    expect(refused.message).toContain(pair.migration.id);
    await act(liftPostgresFence, { migration: other });
    expect(await mayLogIn('source')).toBe(false);

    await act(liftPostgresFence, { migration: pair.migration });
    expect(await mayLogIn('source')).toBe(true);
    expect(await comment()).toEqual({ text: "the shop's own" });
    await act(fencePostgres, { migration: other, cutover: 2 });
    expect(await mayLogIn('source')).toBe(false);
    await act(liftPostgresFence, { migration: other });
    expect(await mayLogIn('source')).toBe(true);
    await stage.source.query(`COMMENT ON ROLE app IS NULL`);
  });

  test('a session of any other role is refused, and the fence is not left up', async () => {
    await stage.source.query(`CREATE ROLE stranger LOGIN PASSWORD 'app-password'`);
    const stranger = await pair.connect('source', 'stranger');
    const failure = await failureOf(act(fencePostgres, input()));
    expect(failure.type).toBe(ErrorType.invalid);
    expect(failure.message).toContain('stranger (pid');
    expect(failure.details[0].remedy).toContain('ignoreRoles');
    expect(await mayLogIn('source')).toBe(true);
    await stranger.end();
  });

  test('a login that is under way when the fence comes does not slip through', async () => {
    const socket = connect(stage.source.port, stage.source.host);
    const fields = ['user', 'app', 'database', pair.migration.source.database].map((text) => `${text}\0`).join('');
    const body = Buffer.concat([Buffer.from([0, 3, 0, 0]), Buffer.from(`${fields}\0`)]);
    const length = Buffer.alloc(4);
    length.writeUInt32BE(body.length + 4);
    socket.write(Buffer.concat([length, body]));
    // The server asks for the password, and waits for it.
    await once(socket, 'data');
    const closed = once(socket, 'close');
    await act(fencePostgres, input());
    await closed;
    expect(await mayLogIn('source')).toBe(false);
  });

  test('a prepared transaction is refused by name', async () => {
    const app = await pair.connect('source');
    await app.query(`BEGIN; INSERT INTO t (v) VALUES ('p'); PREPARE TRANSACTION 'gid 1'`);
    await app.end();
    expect((await failureOf(act(fencePostgres, input()))).message).toContain('gid 1 (of app)');
    expect(await mayLogIn('source')).toBe(true);
    await pair.source(`ROLLBACK PREPARED 'gid 1'`);
  });

  test("the worker's own role, DMS's, and roles that are not there are refused", async () => {
    const withRoles = (applicationRoles: string[]) => ({
      migration: { ...pair.migration, cutover: { ...pair.migration.cutover, applicationRoles } },
      cutover: 1,
    });
    expect((await failureOf(act(fencePostgres, withRoles(['worker'])))).message).toContain('the worker itself');
    expect((await failureOf(act(fencePostgres, withRoles(['nobody here'])))).type).toBe(ErrorType.notFound);
    const dms = withRoles(['app']);
    dms.migration.replication = {
      ...dms.migration.replication,
      sourceEndpoint: { ...dms.migration.replication.sourceEndpoint, user: 'app' },
    };
    expect((await failureOf(act(fencePostgres, dms))).message).toContain('role of DMS');
  });
});

describe('opening', () => {
  test('opens what the source could do, and closes again while nobody has written', async () => {
    await act(fencePostgres, input());
    const opened = await act(openTarget, input());
    expect(await act(openTarget, input(), { attempt: 2 })).toEqual(opened);
    expect(await mayLogIn('target')).toBe(true);
    expect(await mayLogIn('source')).toBe(false);
    const reader = await pair.connect('target');
    await reader.query('SELECT * FROM t');
    const outcome = await act(closeTargetIfUnwritten, input());
    expect(outcome).toMatchObject({ outcome: 'not-switched' });
    expect(await mayLogIn('target')).toBe(false);
    expect(await act(closeTargetIfUnwritten, input())).toMatchObject({ outcome: 'not-switched' });
    // A stale attempt does not open it any more.
    expect((await failureOf(act(openTarget, input(), { attempt: 3 }))).type).toBe(ErrorType.invalid);
    expect(await mayLogIn('target')).toBe(false);
    await act(liftPostgresFence, { migration: pair.migration });
    expect(await mayLogIn('source')).toBe(true);
    // The next cutover opens it again.
    await act(fencePostgres, input(2));
    await act(openTarget, input(2));
    expect(await mayLogIn('target')).toBe(true);
  });

  test.each([
    ['a row', `INSERT INTO t (v) VALUES ('first')`, 'public.t'],
    ['a row that is gone again', `INSERT INTO t (v) VALUES ('a'); DELETE FROM t`, 'public.t'],
    ['TRUNCATE', `TRUNCATE t`, 'emptied'],
    ['a number of a sequence', `SELECT nextval('t_id_seq')`, 'public.t_id_seq'],
  ])('%s written there: it stays open, and is said', async (_what, sql, named) => {
    await act(fencePostgres, input());
    await act(openTarget, input());
    const app = await pair.connect('target');
    await app.query(sql);
    const outcome = await act(closeTargetIfUnwritten, input());
    expect(outcome.outcome).toBe('switched');
    expect(outcome.evidence).toContain(named);
    expect(await mayLogIn('target')).toBe(true);
    expect(await act(closeTargetIfUnwritten, input())).toMatchObject({ outcome: 'switched' });
  });

  test('a clean restart keeps the evidence; after a crash without it nothing is claimed', async () => {
    await act(fencePostgres, input());
    await act(openTarget, input());
    await stage.target.restart();
    await stage.target.query('SELECT txid_current()');
    expect(await act(closeTargetIfUnwritten, input())).toMatchObject({ outcome: 'not-switched' });
    await act(liftPostgresFence, { migration: pair.migration });

    await stage.source.query(`ALTER ROLE "App 2" NOLOGIN`);
    await act(fencePostgres, input(2));
    await act(openTarget, input(2));
    const app = await pair.connect('target');
    await app.query(`INSERT INTO t (v) VALUES ('x'); DELETE FROM t`);
    await stage.target.kill();
    await stage.target.restart();
    await pair.target(`SELECT setval('t_id_seq', 1, false)`);
    const outcome = await act(closeTargetIfUnwritten, input(2));
    expect(outcome.outcome).not.toBe('not-switched');
    expect(await mayLogIn('target', 'App 2')).toBe(false);
    await stage.source.query(`ALTER ROLE "App 2" LOGIN`);
  });

  test('ids that others took are no writes; a crash that loses the counters is unknown', async () => {
    await act(fencePostgres, input());
    await act(openTarget, input());
    await stage.target.query('SELECT txid_current()');
    const outcome = await act(closeTargetIfUnwritten, input());
    expect(outcome).toMatchObject({ outcome: 'not-switched' });
    expect(outcome.evidence).toContain('no table and no sequence');
    await act(liftPostgresFence, { migration: pair.migration });

    await act(fencePostgres, input(2));
    await act(openTarget, input(2));
    const app = await pair.connect('target');
    await app.query(`INSERT INTO t (v) VALUES ('lost from the counters')`);
    await stage.target.query(`SELECT pg_stat_reset()`, [], pair.migration.target.database);
    await app.query(`SELECT 1`);
    const after = await act(closeTargetIfUnwritten, input(2));
    expect(after.outcome).not.toBe('not-switched');
  });

  test('never opened, not reachable, and a fence that somebody lifted', async () => {
    await act(fencePostgres, input());
    expect(await act(closeTargetIfUnwritten, input())).toMatchObject({ outcome: 'not-switched' });
    const away = { ...pair.migration, target: { ...pair.migration.target, port: 1 } };
    expect(await act(closeTargetIfUnwritten, { migration: away, cutover: 1 })).toMatchObject({ outcome: 'unknown' });
    await unfencePostgres(pair.migration.source, { migration: pair.migration.id });
    expect((await failureOf(act(openTarget, input()))).message).toContain('fence is not up');
  });
});

describe('the schema of our own', () => {
  test('is made twice as once, and the record of a fence outlives the removal', async () => {
    await act(prepareOwnSchema, { migration: pair.migration });
    await act(fencePostgres, input());
    const { leftovers } = await act(removeOwnSchema, { migration: pair.migration });
    expect(leftovers.join()).toContain(`the fence of ${pair.migration.id}`);
    await unfencePostgres(pair.migration.source, { migration: pair.migration.id });
    expect(await mayLogIn('source')).toBe(true);
    expect(await act(removeOwnSchema, { migration: pair.migration })).toEqual({ leftovers: [] });
    expect(await act(removeOwnSchema, { migration: pair.migration })).toEqual({ leftovers: [] });
    for (const sql of [pair.source, pair.target]) {
      expect(await sql(`SELECT FROM pg_namespace WHERE nspname = 'cutover'`)).toEqual([]);
    }
    await act(provePostgresSourceWritable, { migration: pair.migration });
  });

  test("somebody else's schema of that name is not touched", async () => {
    await act(removeOwnSchema, { migration: pair.migration });
    await pair.source('CREATE SCHEMA cutover');
    expect((await failureOf(act(prepareOwnSchema, { migration: pair.migration }))).type).toBe(ErrorType.notOurs);
    await act(removeOwnSchema, { migration: pair.migration });
    expect(await pair.source(`SELECT FROM pg_namespace WHERE nspname = 'cutover'`)).toHaveLength(1);
  });

  test('read-only defaults are found, wherever they are set', async () => {
    await pair.source(`ALTER ROLE app SET default_transaction_read_only = on`);
    const failure = await failureOf(act(provePostgresSourceWritable, { migration: pair.migration }));
    expect(failure.message).toContain('the role app');
    await pair.source(`ALTER ROLE app RESET default_transaction_read_only`);
  });

  test('the soak ends at its time, and fails where the roles may not log in', async () => {
    await act(watchPostgresTarget, { migration: pair.migration, until: Date.now() + 200 });
    await stage.target.query('ALTER ROLE app NOLOGIN');
    const failure = await failureOf(act(watchPostgresTarget, { migration: pair.migration, until: Date.now() + 100 }));
    expect(failure.type).toBe(ErrorType.serviceFailed);
  });
});
