/** What DMS's words are taken to mean, and when a replication is ready, stuck or materially changed. */
import type { ReplicationTask, TableStatistics } from '@aws-sdk/client-database-migration-service';
import { describe, expect, test } from 'vitest';
import { isCovered } from '../activities/dms/is-covered.ts';
import { judge, type DmsReading } from '../activities/dms/judge.ts';
import { isMaterial, Readiness } from '../activities/dms/readiness.ts';
import { dmsNames } from '../activities/dms/resources.ts';
import { isSlotOf } from '../activities/dms/slot.ts';
import { startType } from '../activities/dms/start.ts';
import {
  connectionStatus,
  instanceStatus,
  stopMeaning,
  tableMeaning,
  taskAtRest,
  taskRunning,
  validationMeaning,
} from '../activities/dms/status-table.ts';
import { notApplied } from '../activities/dms/table-statistics.ts';
import type { TablePlan } from '../spec/postgres-plan.ts';

const plan: TablePlan = {
  largestLob: 0,
  tables: (
    [
      ['a', 'replicated'],
      ['b', 'replicated'],
      ['hand', 'by-hand'],
    ] as const
  ).map(([name, treatment]) => ({ schema: 'public', name, treatment, rows: 0, bytes: 0, primaryKey: ['id'] })),
};
const table = (TableName: string, more: TableStatistics = {}): TableStatistics => ({
  SchemaName: 'public',
  TableName,
  TableState: 'Table completed',
  ValidationState: 'Validated',
  FullLoadRows: 10,
  ...more,
});
const marker = { ...table('marker', { ValidationState: 'Pending records' }), SchemaName: 'cutover' };
const task = (more: ReplicationTask = {}): ReplicationTask => ({
  Status: 'running',
  ReplicationTaskStats: { FreshStartDate: new Date(1), FullLoadFinishDate: new Date(2) },
  ...more,
});
const reading = (more: Partial<DmsReading> = {}): DmsReading => ({
  task: task(),
  statistics: [table('a'), table('b'), marker],
  lagMs: 50,
  control: [],
  unreadable: [],
  ...more,
});
const phaseOf = (more: ReplicationTask) => judge(reading({ task: task(more) }), plan).phase;

describe('words', () => {
  test('every status of the service model has a meaning; an unknown one is pending, with a warning', () => {
    const known =
      'moving creating deleting failed failed-move modifying ready running starting stopped stopping testing'.split(
        ' ',
      );
    for (const status of known) {
      expect(taskAtRest('t', status).warning).toBeUndefined();
      expect(taskRunning('t', status).warning).toBeUndefined();
    }
    const instance =
      'available creating deleted deleting failed modifying upgrading rebooting resetting-master-credentials storage-full incompatible-credentials incompatible-network maintenance';
    for (const status of instance.split(' ')) expect(instanceStatus('i', status).warning).toBeUndefined();
    expect(taskAtRest('t', 'dreaming')).toMatchObject({
      meaning: 'pending',
      warning: expect.stringContaining('dreaming'),
    });
    // A name of Object.prototype is no status.
    expect(connectionStatus('c', 'constructor').meaning).toBe('pending');
    expect(instanceStatus('i', 'storage-full').meaning).toBe('ask');
  });

  test.each([
    ['NORMAL', 'asked'],
    ['RECOVERABLE_ERROR', 'broken'],
    ['FATAL_ERROR', 'broken'],
    ['FULL_LOAD_ONLY_FINISHED', 'ended'],
    ['STOPPED_AFTER_FULL_LOAD', 'load-done'],
    ['STOPPED_AFTER_CACHED_EVENTS', 'load-done'],
    ['STOPPED_DUE_TO_LOW_DISK', 'broken'],
    ['RECYCLE_TASK', 'again'],
    ['SOMETHING_NEW', 'ask'],
  ])('Stop Reason %s is %s', (reason, meaning) => {
    expect(stopMeaning(`Stop Reason ${reason}`)).toBe(meaning);
    expect(stopMeaning(reason)).toBe(meaning);
  });

  test('tables and validation: an unknown state is never taken for done', () => {
    expect(tableMeaning('Table completed')).toBe('loaded');
    expect(['Table error', 'Table cancelled', 'Table does not exist'].map(tableMeaning)).toEqual(
      Array(3).fill('failed'),
    );
    expect([tableMeaning('Something'), tableMeaning(undefined)]).toEqual(['loading', 'loading']);
    expect(validationMeaning('No primary key')).toBe('unprovable');
    expect([validationMeaning('Something'), validationMeaning('Pending revalidation')]).toEqual(['pending', 'pending']);
    expect(validationMeaning('Mismatched records')).toBe('failed');
  });

  test('which start it is, which names, which slot', () => {
    expect(startType({ Status: 'ready' })).toBe('start-replication');
    expect(startType(task({ Status: 'ready' }))).toBe('resume-processing');
    expect(dmsNames('orders').task).toBe('cutover-orders');
    const arn = 'arn:aws:dms:us-east-1:1:task:ABCDEFGHIJKLMNOPQRSTUVWXYZ';
    expect(isSlotOf(arn, 'abcdefghijklmnop_00016402_3bd86de1')).toBe(true);
    expect(isSlotOf(arn, 'abcdefghijklmnox_00016402')).toBe(false);
    expect(isSlotOf('arn:aws:dms:us-east-1:1:task:A', 'a')).toBe(false);
  });

  test('what was asked for is in what was answered', () => {
    expect(isCovered({ a: 1, b: { c: [1, 2] } }, { a: 1, b: { c: [1, 2], d: 3 }, e: 4 })).toBe(true);
    expect(isCovered({ a: undefined, b: null }, {})).toBe(true);
    expect(isCovered({ a: { b: 1 } }, { a: { b: 2 } })).toBe(false);
    expect(isCovered([1], [1, 2])).toBe(false);
  });

  test('a surplus of one kind of change does not hide a lack of another', () => {
    expect(notApplied({ Inserts: 5, AppliedInserts: 6, Updates: 3, AppliedUpdates: 2 })).toBe(2);
    expect(notApplied({ Inserts: 5, AppliedInserts: 5, Deletes: 1, AppliedDeletes: 1 })).toBe(0);
  });
});

describe('one reading', () => {
  test('phases', () => {
    expect(phaseOf({})).toBe('following');
    expect(phaseOf({ Status: 'stopped', StopReason: 'Stop Reason STOPPED_AFTER_CACHED_EVENTS' })).toBe('load-done');
    expect(phaseOf({ Status: 'stopped', StopReason: 'Stop Reason NORMAL' })).toBe('stopped');
    expect(phaseOf({ Status: 'stopped', StopReason: 'Stop Reason RECOVERABLE_ERROR' })).toBe('failed');
    expect(phaseOf({ Status: 'stopped', StopReason: 'Stop Reason NEVER_HEARD' })).toBe('stopped');
    expect(phaseOf({ Status: 'failed' })).toBe('failed');
    expect(phaseOf({ Status: 'moving' })).toBe('starting');
    expect(phaseOf({ Status: 'ready', ReplicationTaskStats: {} })).toBe('starting');
    const loading = reading({
      task: task({ ReplicationTaskStats: {} }),
      statistics: [table('a', { TableState: 'Full load' })],
    });
    expect(judge(loading, plan)).toMatchObject({ phase: 'loading', tables: { total: 2, loaded: 0, loading: 1 } });
  });

  test('the marker and what is copied by hand do not count; a table that the task does not take is a problem', () => {
    const state = judge(
      reading({ statistics: [table('a'), table('hand', { TableState: 'Table error' }), marker] }),
      plan,
    );
    expect(state.tables).toMatchObject({ total: 2, loaded: 1, failed: 0 });
    expect(state.validation).toMatchObject({ validated: 1, pending: 0 });
    expect(state.problems).toEqual([{ table: 'public.b', reason: expect.stringContaining('does not take it') }]);
  });

  test('a marker that fails is a failure: nothing is proven without it', () => {
    const broken = { ...marker, TableState: 'Table error' };
    expect(judge(reading({ statistics: [table('a'), table('b'), broken] }), plan).tables.failed).toBe(1);
  });

  test('rows that were given up count, unless the table was loaded again since', () => {
    const row = { kind: 'exceptions' as const, table: 'public.a', at: 1_000, text: 'duplicate key' };
    const of = (loadedAt: number) =>
      judge(
        reading({
          control: [row],
          statistics: [table('a', { FullLoadStartTime: new Date(loadedAt) }), table('b'), marker],
        }),
        plan,
      ).problems;
    expect(of(500)).toEqual([{ table: 'public.a', reason: expect.stringContaining('duplicate key') }]);
    expect(of(1_500)).toEqual([]);
    const { at: _at, ...undated } = row;
    expect(judge(reading({ control: [undated] }), plan).problems).toHaveLength(1);
    expect(judge(reading({ control: [{ ...row, table: 'public.hand' }] }), plan).problems).toEqual([]);
  });

  test('a lost slot, and a table that differs, are problems with their reasons', () => {
    const slot = {
      name: 's',
      plugin: 'test_decoding',
      active: false,
      walStatus: 'lost',
      retainedBytes: 1,
      unconfirmedBytes: 1,
    };
    const differs = table('a', { ValidationState: 'Mismatched records', ValidationFailedRecords: 3 });
    const state = judge(reading({ slot, statistics: [differs, table('b'), marker] }), plan);
    expect(state.problems.map(({ reason }) => reason)).toEqual([
      expect.stringContaining('slot s is lost'),
      expect.stringContaining('3 rows differ'),
    ]);
    expect(state.validation).toMatchObject({ failed: 1, validated: 1 });
  });
});

describe('a row of readings', () => {
  const rules = {
    ready: { readings: 3, interval: 1_000, maxLag: 5_000 },
    cutover: { verify: 'count' as const },
    replication: { stallAfter: 60_000 },
  };
  const take = (readiness: Readiness, now: number, more: Partial<DmsReading> = {}, mark = String(now)) =>
    readiness.take(judge(reading(more), plan), now, mark);

  test('ready after three good ones, no closer together than the file says; one bad one starts again', () => {
    const readiness = new Readiness(rules, 0);
    expect(take(readiness, 10_000)).toMatchObject({
      ready: false,
      readings: 1,
      notReady: '1 of 3 good readings in a row',
    });
    expect(take(readiness, 10_500)).toMatchObject({ readings: 1 });
    expect(take(readiness, 11_000)).toMatchObject({ readings: 2 });
    expect(take(readiness, 12_000, { lagMs: 9_000 })).toMatchObject({
      readings: 0,
      notReady: expect.stringContaining('lag'),
    });
    for (const now of [13_000, 14_000, 15_000]) take(readiness, now);
    const ready = take(readiness, 16_000);
    expect(ready).toMatchObject({ ready: true });
    expect(ready.notReady).toBeUndefined();
  });

  test.each<[string, Partial<DmsReading>]>([
    ['no marker has arrived', { lagMs: undefined as unknown as number }],
    ['stopped', { task: task({ Status: 'stopped', StopReason: 'Stop Reason NORMAL' }) }],
    ['stopping', { task: task({ Status: 'stopping' }) }],
    [
      '1 of 2 tables are loaded',
      { statistics: [table('a'), table('b', { TableState: 'Table is being reloaded' }), marker] },
    ],
    ['Table error', { statistics: [table('a'), table('b', { TableState: 'Table error' }), marker] }],
    ['suspended', { statistics: [table('a'), table('b', { ValidationState: 'Suspended records' }), marker] }],
    ['source: away', { unreadable: ['source: away'] }],
    ['no table', { statistics: [] }],
  ])('not ready: %s', (_why, more) => {
    const readiness = new Readiness(rules, 0);
    for (const now of [10_000, 20_000, 30_000, 40_000]) expect(take(readiness, now, more).ready).toBe(false);
  });

  test('a table that is pending must have been found equal once', () => {
    const pending = { statistics: [table('a', { ValidationState: 'Pending records' }), table('b'), marker] };
    const readiness = new Readiness(rules, 0);
    for (const now of [10_000, 20_000, 30_000]) {
      expect(take(readiness, now, pending)).toMatchObject({
        ready: false,
        notReady: expect.stringContaining('public.a'),
      });
    }
    take(readiness, 40_000);
    take(readiness, 50_000, pending);
    expect(take(readiness, 60_000, pending)).toMatchObject({ ready: true, validation: { pending: 1 } });
  });

  test('with a checksum inside the fence a few rows may wait, but not many, none that differ, and no table untouched', () => {
    const given = { ...rules, cutover: { verify: 'checksum' as const } };
    const readyWith = (more: Partial<TableStatistics>) => {
      const first = table('a', { ValidationState: 'Pending records', FullLoadRows: 500_000, ...more });
      const statistics = [first, table('b'), marker];
      const readiness = new Readiness(given, 0);
      return [10_000, 20_000, 30_000].map((now) => take(readiness, now, { statistics })).at(-1)!.ready;
    };
    expect(readyWith({ ValidationPendingRecords: 4_000 })).toBe(true);
    expect(readyWith({ ValidationPendingRecords: 400_000 })).toBe(false);
    expect(readyWith({ ValidationPendingRecords: 4, ValidationFailedRecords: 1 })).toBe(false);
    expect(readyWith({ ValidationState: 'Pending validation' })).toBe(false);
  });

  test('stalled where nothing moves and no marker arrives, though the task looks alive; over with the next move', () => {
    const readiness = new Readiness(rules, 0);
    take(readiness, 1_000, {}, 'm');
    expect(take(readiness, 50_000, {}, 'm').stalledSince).toBeUndefined();
    const stalled = take(readiness, 61_000, {}, 'm');
    expect(stalled.stalledSince).toBe(1_000);
    // The next run of the watch knows since when.
    const next = new Readiness(rules, 70_000, stalled);
    expect(take(next, 70_000, {}, '').stalledSince).toBe(1_000);
    expect(take(next, 71_000, {}, 'm2').stalledSince).toBeUndefined();
    expect(take(readiness, 80_000, {}, 'm2').stalledSince).toBeUndefined();
    // A task that stands by itself is not stuck.
    const stopped = { task: task({ Status: 'stopped', StopReason: 'Stop Reason NORMAL' }) };
    expect(take(readiness, 900_000, stopped, 'm2').stalledSince).toBeUndefined();
  });

  test('a crash of the worker loses no count', () => {
    const first = new Readiness(rules, 0);
    take(first, 10_000);
    take(first, 11_000);
    expect(take(new Readiness(rules, 12_000, undefined, first.remembered), 12_000)).toMatchObject({ ready: true });
  });

  test('material: phase, tenth, readiness, failures, problems, stalls; not rows or lag', () => {
    const readiness = new Readiness(rules, 0);
    const state = take(readiness, 10_000);
    expect(isMaterial(undefined, state)).toBe(true);
    expect(isMaterial(state, { ...state, lagMs: 3_000, rowsLoaded: 99, changesApplied: 7, readings: 2 })).toBe(false);
    const loading = { ...state, phase: 'loading' as const, percent: 41 };
    expect(isMaterial(loading, { ...loading, percent: 49 })).toBe(false);
    expect(isMaterial(loading, { ...loading, percent: 50 })).toBe(true);
    for (const change of [
      { phase: 'stopped' as const },
      { ready: true },
      { tables: { ...state.tables, failed: 1 } },
      { problems: [{ reason: 'x' }] },
      { stalledSince: 5 },
      { stopReason: 'Stop Reason NORMAL' },
      { validation: { ...state.validation!, failed: 1 } },
    ]) {
      expect(isMaterial(state, { ...state, ...change })).toBe(true);
    }
  });
});
