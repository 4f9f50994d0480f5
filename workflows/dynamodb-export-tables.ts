/** The step `export`: every table's own way from its plan to its proof. What is done is kept under `report.tables`. */
import { ApplicationFailure, isCancellation } from '@temporalio/workflow';
import type { ExportSettings } from '../activities/dynamodb/settings.ts';
import type { MigrationInput } from '../spec/contract.ts';
import type { ExportResult, TableExport, TableExportPlan } from '../spec/dynamodb-export-state.ts';
import { ErrorType } from '../spec/errors.ts';
import type { DynamoDbExport } from '../spec/kind-dynamodb-export.ts';
import type { activityProxies } from './activity-options.ts';
import { now } from './board.ts';
import { reasonOf } from './failure-reason.ts';
import { runIdentity } from './run-identity.ts';
import type { Run } from './runbook.ts';

interface Doing {
  run: Run;
  act: ReturnType<typeof activityProxies>;
  input: MigrationInput<DynamoDbExport>;
  settings: ExportSettings;
}

/** Exports those tables that are not exported yet: all at first, after an operator's retry those that failed. */
export async function exportTables(doing: Doing): Promise<ExportResult> {
  // Also where nothing was even planned, and the operator skips: the result names each table that was not exported.
  try {
    await exportOpen(doing);
  } finally {
    doing.run.board.update((status) => {
      status.report['result'] = resultOf(doing);
    });
  }
  return resultOf(doing);
}

async function exportOpen(doing: Doing): Promise<void> {
  const { run, input, settings } = doing;
  const open = settings.tables.filter((table) => stateOf(run, table)?.state !== 'done');
  await plan(doing, open);
  const arns = settings.tables.flatMap((table) => stateOf(run, table)?.plan.tableArn ?? []);
  run.arm({ id: 'exports', undo: 'name-exports', arg: { tableArns: arns }, title: 'exports that were begun' });
  const queue = [...open];
  const lane = async () => {
    for (let table = queue.shift(); table !== undefined; table = queue.shift()) await exportOne(doing, table);
  };
  // Every lane goes on to its end: one that is cancelled has its activities ended first.
  const ended = await Promise.allSettled(Array.from({ length: input.migration.concurrency }, lane));
  const broken = ended.find((one) => one.status === 'rejected');
  if (broken) throw broken.reason;
}

/**
 * A retry plans anew, with another token: the same one would give the failed export back. But where no answer ever came,
 * the export may have been begun, and only the same call again finds it.
 */
async function plan({ run, act, input, settings }: Doing, tables: string[]): Promise<void> {
  const anew = tables.filter((table) => !isUnanswered(stateOf(run, table)));
  // The export that an increment goes on from is read again.
  const queue = input.migration.type === 'full' ? act.wait : act.copy;
  const plans = await queue.planExports.executeWithOptions({ summary: `plan ${anew.length} tables` }, [
    { migration: input.migration, settings, tables: anew, run: runIdentity(input, run).run },
  ]);
  for (const planned of plans) {
    const before = stateOf(run, planned.table);
    // An abort names what an earlier attempt began, also where the table can't be looked up any more.
    const known = before?.plan.tableArn ? { tableArn: before.plan.tableArn } : {};
    set(run, planned.table, { state: 'planned', attempt: (before?.attempt ?? 0) + 1, plan: { ...known, ...planned } });
    if (planned.moved) run.board.warn(`${planned.tableName}: ${planned.moved}`);
    if (planned.passedOver) {
      const { from } = planned.incremental ?? {};
      run.board.warn(
        `${planned.tableName}: begun at ${from}, before exports that are not whole: ${planned.passedOver}`,
      );
    }
  }
}

const isUnanswered = (state: TableExport | undefined) =>
  state?.state === 'failed' && state.exportArn === undefined && state.unanswered === true;

async function exportOne(doing: Doing, table: string): Promise<void> {
  const { run } = doing;
  const { plan, attempt } = stateOf(run, table)!;
  if (plan.error !== undefined) return fail(doing, table, plan.error);
  const beginning: TableExport = { state: 'running', attempt, plan, startedAt: now() };
  set(run, table, beginning);
  show(doing);
  try {
    await carry(doing, table, plan, attempt);
  } catch (error) {
    if (isCancellation(error)) throw error;
    run.rethrowUnlessFailure(error);
    const { message, type } = reasonOf(error);
    const refused =
      type === ErrorType.invalid ||
      type === ErrorType.denied ||
      type === ErrorType.notOurs ||
      type === ErrorType.notFound;
    fail(doing, table, message, !refused);
  }
}

async function carry({ run, act, input, settings }: Doing, table: string, plan: TableExportPlan, attempt: number) {
  const { migration } = input;
  const { aws } = migration;
  const tableName = plan.tableName ?? table;
  const { exportArn } = await act.quick.startExport.executeWithOptions(
    { summary: `ExportTableToPointInTime ${tableName}` },
    [{ migration, bucket: settings.bucket, plan, run: runIdentity(input, run).run, attempt }],
  );
  change(run, table, { exportArn });
  const { warning } = await act.wait.awaitExport.executeWithOptions({ summary: `until ${tableName} is exported` }, [
    { tableName, exportArn, timeoutMs: migration.timeout, aws },
  ]);
  if (warning) run.board.warn(`${tableName}: ${warning}`);
  change(run, table, { state: 'verifying' });
  show({ run, act, input, settings });
  const verified = await act.copy.verifyExport.executeWithOptions({ summary: `verify ${tableName}` }, [
    { tableName, exportArn, how: migration.verify, bucketOwner: migration.bucketOwner, aws },
  ]);
  change(run, table, { state: 'done', verified, endedAt: now() });
  show({ run, act, input, settings });
}

function fail(doing: Doing, table: string, error: string, unanswered = false): void {
  change(doing.run, table, { state: 'failed', error, endedAt: now(), ...(unanswered ? { unanswered } : {}) });
  show(doing);
}

function show({ run, settings }: Doing): void {
  const all = settings.tables.map((table) => [table, stateOf(run, table)?.state] as const);
  const count = (state: string) => all.filter(([, own]) => own === state).length;
  const busy = all
    .filter(([, state]) => state === 'running' || state === 'verifying')
    .map(([table, state]) => `${table} ${state}`);
  const text = [
    `${count('done')} of ${all.length} tables exported and verified`,
    ...(count('failed') > 0 ? [`${count('failed')} failed`] : []),
    ...busy.slice(0, 3),
    ...(busy.length > 3 ? [`and ${busy.length - 3} more`] : []),
  ];
  run.progress({ text: text.join(', '), done: count('done'), total: all.length });
}

function tablesOf(run: Run): Record<string, TableExport> {
  return (run.status.report['tables'] ?? {}) as Record<string, TableExport>;
}

const stateOf = (run: Run, table: string): TableExport | undefined => tablesOf(run)[table];

function set(run: Run, table: string, state: TableExport): void {
  run.board.update((status) => {
    status.report['tables'] = { ...tablesOf(run), [table]: state };
  });
}

function change(run: Run, table: string, changed: Partial<TableExport>): void {
  set(run, table, { ...stateOf(run, table)!, ...changed });
}

function resultOf({ run, settings }: Doing): ExportResult {
  const result: ExportResult = { successfulExports: [], failedExports: [] };
  for (const table of settings.tables) {
    const known = stateOf(run, table);
    if (!known) {
      result.failedExports.push({ tableName: table, error: 'it was not begun' });
      continue;
    }
    const { plan, state, exportArn, verified, error } = known;
    const { incremental } = plan;
    const tableName = plan.tableName ?? table;
    if (state === 'done' && exportArn && verified) {
      result.successfulExports.push({
        tableName,
        exportArn,
        exportTime: plan.shownTime ?? plan.exportTime ?? '',
        s3Location: `s3://${settings.bucket}/${plan.prefix ?? ''}`,
        itemCount: verified.itemCount,
        files: verified.files,
        bytes: verified.bytes,
        manifest: verified.manifest,
        verified: verified.how,
        ...(incremental
          ? { increment: { from: incremental.from, ...(incremental.base ? { base: incremental.base } : {}) } }
          : {}),
      });
    } else {
      result.failedExports.push({ tableName, error: error ?? 'it was not ended', ...(exportArn ? { exportArn } : {}) });
    }
  }
  return result;
}

/** By the file's rule. @throws ApplicationFailure `cutover.ServiceFailed` naming each table that failed */
export function requireEnough({ failWhen }: DynamoDbExport, result: ExportResult): void {
  const { successfulExports: made, failedExports: failed } = result;
  if (failed.length === 0 || failWhen === 'never' || (failWhen === 'all' && made.length > 0)) return;
  const which = failed.map(({ tableName, error }) => `${tableName}: ${error}`).join('; ');
  throw ApplicationFailure.create({
    type: ErrorType.serviceFailed,
    nonRetryable: true,
    message: `${failed.length} of ${made.length + failed.length} tables were not exported: ${which}`,
    details: [
      {
        remedy: `retry exports ${failed.length === 1 ? 'this one' : 'these'} again and leaves the others; skip keeps what there is`,
      },
    ],
  });
}
