/** `kind: dynamodb-export`: each table exported by itself, waited for, verified; one that fails stops no other. */
import type { MigrationInput } from '../spec/contract.ts';
import type { ExportResult } from '../spec/dynamodb-export-state.ts';
import { recoveryDaysOf, type DynamoDbExport } from '../spec/kind-dynamodb-export.ts';
import type { PreflightReport } from '../spec/preflight.ts';
import type { MigrationStatus } from '../spec/status.ts';
import { activityProxies } from './activity-options.ts';
import { dynamodbExportPlan } from './dynamodb-export-plan.ts';
import { exportTables, requireEnough } from './dynamodb-export-tables.ts';
import { requirePassed } from './preflight-passed.ts';
import { runIdentity } from './run-identity.ts';
import { conduct, type Run } from './runbook.ts';

/** Checks of single tables (activities/dynamodb/export-preflight.ts): `E9.orders`. */
const TABLE_CHECK = /^E(?:9|10)\./;
const RECOVERY_TIMEOUT_MS = 30 * 60_000;

export async function dynamodbExport(input: MigrationInput<DynamoDbExport>): Promise<MigrationStatus> {
  const { migration } = input;
  const { aws } = migration;
  const act = activityProxies(input);

  return conduct(input, {
    plan: dynamodbExportPlan(migration),
    undo: {
      'recovery-off': async ({ table, switched }: { table: string; switched: boolean }, run) => {
        // Off, what can be restored is gone: never once others may count on it, such as the next run of this file.
        if (switched && run.isDone('recovery')) {
          const note = `point-in-time recovery of ${table}: this run switched it on, and it stays on`;
          return { note, leftovers: [note] };
        }
        // Nor where somebody else may have switched it on since.
        if (!switched) {
          const note = `point-in-time recovery of ${table}: this run asked for it and had no answer; where it is on, it was left on`;
          return { note, leftovers: [note] };
        }
        await act.quick.disableRecovery.executeWithOptions({ summary: `recovery of ${table} off` }, [{ table, aws }]);
        return { note: `point-in-time recovery of ${table} is off again` };
      },
      'name-exports': async ({ tableArns }: { tableArns: string[] }, run) => {
        const { migrationId, run: own, at } = runIdentity(input, run);
        const since = run.status.startedAt < at ? run.status.startedAt : at;
        const leftovers = await act.wait.exportsLeft.executeWithOptions({ summary: 'exports of this run' }, [
          { tableArns, migrationId, run: own, since, aws },
        ]);
        return { note: `${leftovers.length} exports were begun and stay`, leftovers };
      },
    },
    async body(run) {
      const { at: now } = runIdentity(input, run);
      const settings = (await run.step(
        'settings',
        () =>
          act.quick.resolveExportSettings.executeWithOptions({ summary: 'settings of the file and of SSM' }, [
            { migration, now, due: input.schedule !== undefined },
          ]),
        ({ tables, bucket, asked }) =>
          [`${tables.length} tables to ${bucket}`, asked.at, ...asked.notes].filter(Boolean).join('; '),
      ))!;
      for (const warning of settings.asked.warnings) run.board.warn(warning);

      await run.step(
        'preflight',
        async () => {
          const report = await act.quick.preflightDynamoDbExport.executeWithOptions({ summary: 'preflight checks' }, [
            { migration, settings },
          ]);
          requireSomeTable(run, report, settings.tables.length);
          return report;
        },
        (report) =>
          `${report.passed} passed, ${report.warned} warnings, ${report.unknown} unknown, ${report.failed} failed`,
      );

      const { enable, days } = recoveryDaysOf(migration);
      if (enable) {
        await run.step(
          'recovery',
          async () => {
            const off = await act.quick.tablesWithoutRecovery.executeWithOptions(
              { summary: 'tables without recovery' },
              [{ tables: settings.tables, aws }],
            );
            for (const table of off) {
              const armed = (switched: boolean) =>
                run.arm({
                  id: `recovery-${table}`,
                  undo: 'recovery-off',
                  arg: { table, switched },
                  title: `point-in-time recovery of ${table}`,
                });
              armed(false);
              await act.quick.enableRecovery.executeWithOptions({ summary: `recovery of ${table} on` }, [
                { table, ...(days === undefined ? {} : { days }), aws },
              ]);
              armed(true);
            }
            // A retry finds it switched on; what was armed before still has to be waited for.
            for (const table of settings.tables.filter((one) => run.isArmed(`recovery-${one}`))) {
              await act.wait.awaitRecovery.executeWithOptions({ summary: `until ${table} is restorable` }, [
                { table, timeoutMs: RECOVERY_TIMEOUT_MS, aws },
              ]);
            }
            return off;
          },
          (off) => (off.length > 0 ? `switched on for ${off.join(', ')}` : 'it is on for all'),
        );
      }

      await run.step(
        'export',
        async () => {
          const result = await exportTables({ run, act, input, settings });
          requireEnough(migration, result);
          return result;
        },
        (result) => noteOf(result),
      );
      const result = run.status.report['result'] as ExportResult | undefined;
      for (const { tableName, error } of result?.failedExports ?? [])
        run.board.warn(`${tableName} was not exported: ${error}`);

      if (migration.retention)
        await run.step(
          'retention',
          () => retire(run, act, migration),
          (note) => note,
        );
    },
  });
}

type Act = ReturnType<typeof activityProxies>;

/** What is wrong with one table must not keep the others from their backup; what is wrong with all of them must stop. */
function requireSomeTable(run: Run, report: PreflightReport, tables: number): void {
  run.board.update((status) => {
    status.report['preflight'] = report;
  });
  const bad = report.checks.filter(({ id, result }) => result === 'fail' && TABLE_CHECK.test(id));
  const badTables = new Set(bad.map(({ id }) => id.replace(TABLE_CHECK, '')));
  const others = badTables.size < tables;
  requirePassed(others ? { ...report, checks: report.checks.filter((check) => !bad.includes(check)) } : report);
  for (const { title, found } of bad) run.board.warn(`${title}: ${found}`);
  for (const { id, result, found } of report.checks)
    if (result === 'warn' && TABLE_CHECK.test(id)) run.board.warn(`${id.replace(TABLE_CHECK, '')}: ${found}`);
}

async function retire(run: Run, act: Act, migration: DynamoDbExport): Promise<string> {
  const deleted: string[] = [];
  const remove = async (exportArn: string) => {
    await act.wait.deleteExportObjects.executeWithOptions({ summary: `delete ${exportArn}` }, [
      { migration, exportArn },
    ]);
    deleted.push(exportArn);
    run.board.update((status) => {
      status.report['retiring'] = retiring(run).filter((one) => one !== exportArn);
    });
  };
  // Without its manifest, which goes first, a half-deleted one is not found again: a retry ends what was begun.
  for (const exportArn of retiring(run)) await remove(exportArn);
  // Of a table whose export failed just now nothing is deleted: an older one may be its last.
  const result = run.status.report['result'] as ExportResult | undefined;
  for (const { exportArn: verified } of result?.successfulExports ?? []) {
    const tableArn = verified.split('/export/')[0]!;
    const { decisions } = await act.wait.planExportRetention.executeWithOptions(
      { summary: `retention of ${tableArn}` },
      [{ migration, tableArn, verified }],
    );
    run.board.update((status) => {
      const shown = (status.report['retention'] ??= {}) as Record<string, unknown>;
      shown[tableArn] = decisions;
    });
    const goes = decisions.filter(({ keep }) => !keep).map(({ id }) => id);
    run.board.update((status) => {
      status.report['retiring'] = goes;
    });
    for (const exportArn of goes) await remove(exportArn);
  }
  return deleted.length > 0 ? `deleted: ${deleted.join(', ')}` : 'nothing had to go';
}

const retiring = (run: Run) => (run.status.report['retiring'] ?? []) as string[];

function noteOf(result: ExportResult): string {
  const { successfulExports: made, failedExports: failed } = result;
  const items = made.reduce((sum, { itemCount }) => sum + itemCount, 0);
  return `${made.length} exported and verified, ${items} items${failed.length > 0 ? `; ${failed.length} failed` : ''}`;
}
