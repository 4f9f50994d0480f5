/** `kind: dynamodb-restore`: a new table from a point in time or an export, proven, and in a drill deleted again. */
import type { MigrationInput } from '../spec/contract.ts';
import type { MadeTable, RestorePlan } from '../spec/dynamodb-restore-state.ts';
import { ErrorType } from '../spec/errors.ts';
import type { DynamoDbRestore } from '../spec/kind-dynamodb-restore.ts';
import type { MigrationStatus } from '../spec/status.ts';
import { activityProxies } from './activity-options.ts';
import { now } from './board.ts';
import { dynamodbRestorePlan } from './dynamodb-restore-plan.ts';
import { reasonOf } from './failure-reason.ts';
import { requirePassed } from './preflight-passed.ts';
import { nameOfRun, runIdentity } from './run-identity.ts';
import { conduct, type Run } from './runbook.ts';

/** Under `report.restore`: kept over retries and continue-as-new. */
interface RestoreReport {
  table: string;
  attempt: number;
  made?: MadeTable;
  /** The last attempt's table is of no use: a retry makes it anew. */
  broken?: boolean;
  notRestored: string[];
  startedAt?: string;
  /** ISO and ms. */
  availableAt?: string;
  restoreMs?: number;
  verifiedAt?: string;
  verifyMs?: number;
}

const reportOf = (run: Run) => run.status.report['restore'] as RestoreReport;

function note(run: Run, changed: Partial<RestoreReport>): void {
  run.board.update((status) => {
    status.report['restore'] = { ...reportOf(run), ...changed };
  });
}

export async function dynamodbRestore(input: MigrationInput<DynamoDbRestore>): Promise<MigrationStatus> {
  const { migration } = input;
  const { aws } = migration;
  const act = activityProxies(input);

  return conduct(input, {
    plan: dynamodbRestorePlan(migration),
    undo: {
      'delete-table': async (made: MadeTable) => {
        const { removed, note } = await act.wait.removeMadeTable.executeWithOptions(
          { summary: `delete ${made.table}` },
          [{ made, aws }],
        );
        return { note, ...(removed ? {} : { leftovers: note.includes('left alone') ? [note] : [] }) };
      },
    },
    async body(run) {
      const identity = runIdentity(input, run);
      const table = migration.table ?? nameOfRun(identity, 255);
      const plan = (await run.step(
        'preflight',
        async () => {
          const report = await act.quick.preflightDynamoDbRestore.executeWithOptions({ summary: 'preflight checks' }, [
            { migration, table },
          ]);
          run.board.update((status) => {
            status.report['preflight'] = report;
          });
          requirePassed(report);
          return act.quick.planTableRestore.executeWithOptions({ summary: `plan ${table}` }, [{ migration, table }]);
        },
        describe,
      ))!;

      await run.step(
        'restore',
        async () => {
          await restore(run, plan);
          return table;
        },
        () =>
          `${table} is there; it took: ${seconds(reportOf(run).restoreMs)}; not restored: ${plan.notRestored.join(', ')}`,
      );

      await run.step(
        'verify',
        async () => {
          const beganAt = Date.now();
          const found = await act.copy.compareRestored.executeWithOptions({ summary: `verify ${table}` }, [
            { plan, how: migration.verify, itemsPerSecond: migration.itemsPerSecond, aws },
          ]);
          note(run, { verifiedAt: now(), verifyMs: Date.now() - beganAt });
          run.board.update((status) => {
            status.report['verified'] = found;
          });
          return found;
        },
        (found) => found.note,
      );

      if (migration.drill) {
        await run.step(
          'delete',
          async () => {
            const { note: end } = await act.wait.removeMadeTable.executeWithOptions({ summary: `delete ${table}` }, [
              { made: reportOf(run).made!, aws },
            ]);
            run.disarm('table');
            return { ...reportOf(run), end };
          },
          ({ end, restoreMs, verifyMs }) =>
            `${end}; restoring took: ${seconds(restoreMs)}, verifying: ${seconds(verifyMs)}`,
        );
      }

      async function restore(run: Run, plan: RestorePlan): Promise<void> {
        // A retry after a failed import makes the table anew; after a deadline it goes on waiting.
        if (reportOf(run)?.broken) await run.undoNow('table');
        const again = reportOf(run)?.broken === true || reportOf(run) === undefined;
        const attempt = again ? (reportOf(run)?.attempt ?? 0) + 1 : reportOf(run).attempt;
        let made: MadeTable = reportOf(run)?.made ?? identify(plan, attempt);
        if (again) {
          made = identify(plan, attempt);
          run.board.update((status) => {
            status.report['restore'] = {
              table,
              attempt,
              made,
              notRestored: plan.notRestored,
              startedAt: now(),
            } satisfies RestoreReport;
          });
        }
        const armed = () => run.arm({ id: 'table', undo: 'delete-table', arg: made, title: `the table ${table}` });
        armed();
        try {
          if (made.tableId === undefined) {
            made = await act.quick.startRestore.executeWithOptions({ summary: `restore to ${table}` }, [
              { migration, plan, made },
            ]);
            note(run, { made });
            armed();
          }
          const { warning } = await act.wait.awaitTable.executeWithOptions({ summary: `until ${table} is there` }, [
            { made, timeoutMs: migration.timeout, aws },
          ]);
          if (warning) run.board.warn(warning);
        } catch (error) {
          run.rethrowUnlessFailure(error);
          if (reasonOf(error).type === ErrorType.serviceFailed) note(run, { broken: true });
          throw error;
        }
        const tagged = { made, migrationId: identity.migrationId, run: identity.run, aws };
        made = await act.quick.tagMadeTable.executeWithOptions({ summary: `tag ${table}` }, [tagged]);
        armed();
        const { startedAt } = reportOf(run);
        note(run, { made, availableAt: now(), restoreMs: Date.now() - Date.parse(startedAt!) });
      }

      function identify(plan: RestorePlan, attempt: number): MadeTable {
        return {
          table,
          absentAt: now(),
          ...(plan.from === 'export'
            ? { token: `cutover/${identity.migrationId}/${identity.run}/import/${attempt}` }
            : { source: { arn: plan.sourceArn, at: plan.at } }),
        };
      }
    },
  });
}

function describe(plan: RestorePlan): string {
  return plan.from === 'export'
    ? `${plan.itemCount} items of ${plan.exportArn}`
    : `${plan.sourceTable} as it was at ${plan.at}`;
}

const seconds = (ms: number | undefined) => (ms === undefined ? 'not measured' : `${Math.round(ms / 100) / 10} s`);
