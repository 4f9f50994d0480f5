/** Starts a migration. */
import { WorkflowExecutionAlreadyStartedError, type Client } from '@temporalio/client';
import type { MigrationInput } from '../spec/contract.ts';
import type { Migration } from '../spec/migration.ts';
import { AlreadyRunning } from './errors.ts';
import { call } from './grpc-failure.ts';
import { MigrationHandle } from './migration-handle.ts';
import { checkMigration, loadMigrationFile, type MigrationSource } from './migration-file.ts';
import { operatorName } from './operator-name.ts';
import { startOptions } from './start-options.ts';
import { defaultTaskQueue } from './task-queue.ts';

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
  const { workflowType, ...shown } = startOptions(migration, { file: options.file });
  try {
    await call(client, 15_000, () =>
      client.workflow.start(workflowType, {
        workflowId: migration.id,
        taskQueue,
        args: [input],
        // An ended migration may be started again; a running one is never touched.
        workflowIdReusePolicy: 'ALLOW_DUPLICATE',
        workflowIdConflictPolicy: 'FAIL',
        ...shown,
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
