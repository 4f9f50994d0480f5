/** Starts a migration. */
import { resolve } from 'node:path';
import { WorkflowExecutionAlreadyStartedError, type Client } from '@temporalio/client';
import { DEFAULT_TASK_QUEUE, SearchAttributes, WORKFLOW_TYPES, type MigrationInput } from '../spec/contract.ts';
import type { Migration } from '../spec/migration.ts';
import type { Phase } from '../spec/status.ts';
import { planOf } from '../workflows/plans.ts';
import { describePlan } from '../workflows/status-text.ts';
import { AlreadyRunning } from './errors.ts';
import { call } from './grpc-failure.ts';
import { MigrationHandle } from './migration-handle.ts';
import { checkMigration, loadMigrationFile, type MigrationSource } from './migration-file.ts';
import { operatorName } from './operator-name.ts';

export interface StartOptions {
  /** The file of the migration; or `migration` instead. */
  file?: string;
  /** The migration as an object: in the file's form (durations as `30s`), or as `loadMigrationFile` returned it. */
  migration?: MigrationSource | Migration;
  /** Default: CUTOVER_TASK_QUEUE, or `cutover`. */
  taskQueue?: string | undefined;
  /** Who starts it, for the record. Default: CUTOVER_USER, or user@host. */
  startedBy?: string | undefined;
}

/**
 * Starts the migration, and returns at once: it runs in the workers, whether or not this process lives on.
 * Its workflow's id is its own id, so that one migration can't run twice at the same time.
 * @throws WrongFile before anything is started; AlreadyRunning where one of that id runs; Unreachable
 */
export async function startMigration(client: Client, options: StartOptions): Promise<MigrationHandle> {
  const migration = await given(options);
  const taskQueue = options.taskQueue ?? defaultTaskQueue();
  const input: MigrationInput = { migration, taskQueue, startedBy: options.startedBy ?? operatorName() };
  const plan = planOf(migration);
  const phase: Phase = 'running';
  try {
    await call(client, 15_000, () =>
      client.workflow.start(WORKFLOW_TYPES[migration.kind], {
        workflowId: migration.id,
        taskQueue,
        args: [input],
        // An ended migration may be started again; a running one is never touched.
        workflowIdReusePolicy: 'ALLOW_DUPLICATE',
        workflowIdConflictPolicy: 'FAIL',
        memo: { kind: migration.kind, ...(options.file ? { file: resolve(options.file) } : {}) },
        typedSearchAttributes: [
          { key: SearchAttributes.kind, value: migration.kind },
          { key: SearchAttributes.phase, value: phase },
          { key: SearchAttributes.needsOperator, value: false },
        ],
        staticSummary: cut(plan.summary, 200),
        staticDetails: planDetails(migration),
      }),
    );
  } catch (error) {
    if (error instanceof WorkflowExecutionAlreadyStartedError) throw new AlreadyRunning(migration.id, error);
    throw error;
  }
  return new MigrationHandle(client, migration.id);
}

async function given({ file, migration }: StartOptions): Promise<Migration> {
  if (migration !== undefined) return isParsed(migration) ? migration : checkMigration(migration);
  if (file === undefined) throw new TypeError('startMigration: give it a file or a migration');
  return loadMigrationFile(file);
}

/** Once parsed, this duration is a number of milliseconds, which the file's form always refuses. */
const isParsed = (migration: MigrationSource | Migration): migration is Migration =>
  typeof migration.crashDetection === 'number';

export function defaultTaskQueue(): string {
  return process.env['CUTOVER_TASK_QUEUE'] || DEFAULT_TASK_QUEUE;
}

/** The UI sends details in an address, and cuts the last paragraph off (facts/temporal 2): short, closed by a throwaway. */
const LARGEST_DETAILS = 3000;

function planDetails(migration: Migration): string {
  const text = describePlan(planOf(migration));
  if (Buffer.byteLength(text) <= LARGEST_DETAILS) return text;
  const lines = text.split('\n');
  while (Buffer.byteLength(lines.join('\n')) > LARGEST_DETAILS - 80) lines.pop();
  return `${lines.join('\n')}\n\nThe rest: \`cutover plan\`\n\n-`;
}

const cut = (text: string, length: number) => (text.length <= length ? text : `${text.slice(0, length - 1)}…`);
