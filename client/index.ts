/**
 * cutover as a library: start migrations, look at them, command them.
 *
 *     import { connect, migration, startMigration } from 'cutover';
 *     const client = await connect();
 *     const shop = await startMigration(client, { file: 'shop.yaml' });
 *     for await (const status of shop.watch()) console.log(status.phase, status.step);
 */
import type { Client } from '@temporalio/client';
import { MigrationHandle } from './migration-handle.ts';

export { catalogue, staleSources, type CatalogueOptions, type StaleSource } from './catalogue.ts';
export type { ClockChange } from './clock-changes.ts';
export { connect, connectSettings, DEFAULT_ADDRESS, type ConnectOptions, type ConnectSettings } from './connect.ts';
export {
  AlreadyRunning,
  CutoverError,
  EndedUncleanly,
  Failed,
  NoMigration,
  NoWorker,
  Refused,
  Unreachable,
  WrongFile,
  WrongUsage,
} from './errors.ts';
export { problemText, type FileProblem } from './file-problem.ts';
export { listMigrations, type ListedMigration, type ListOptions } from './list.ts';
export type { LiveStatus, PendingActivity } from './live-status.ts';
export { checkMigration, loadMigrationFile, parseMigration, type MigrationSource } from './migration-file.ts';
export { MigrationHandle, type CommandOptions, type WatchOptions } from './migration-handle.ts';
export { operatorName } from './operator-name.ts';
export { runPreflight, type PreflightOptions } from './preflight.ts';
export { reportOf, type MigrationReport } from './report.ts';
export { NoSchedule, ScheduleExists } from './schedule-errors.ts';
export { scheduleInfo, type ScheduleInfo } from './schedule-info.ts';
export type { ScheduleOverrides } from './schedule-section.ts';
export type { Blocking, ScheduledRun } from './scheduled-runs.ts';
export {
  backfillSchedule,
  createSchedule,
  deleteSchedule,
  listSchedules,
  pauseSchedule,
  resumeSchedule,
  updateSchedule,
  type ScheduleNote,
  type ScheduleOptions,
} from './schedules.ts';
export { scheduleTimes } from './schedule-times.ts';
export { triggerSchedule } from './schedule-trigger.ts';
export { startMigration, type StartOptions } from './start.ts';
export { defaultTaskQueue } from './task-queue.ts';
export { waitsForOperator } from './waits-for-operator.ts';
export { pollers, type Poller } from './workers.ts';
export type { Command, CommandAnswer } from '../spec/contract.ts';
export type { CatalogueAnswer, CatalogueEntry, CatalogueSystem } from '../spec/catalogue.ts';
export type { Migration } from '../spec/migration.ts';
export type { CheckReport, PreflightReport } from '../spec/preflight.ts';
export type * from '../spec/status.ts';
export { planOf } from '../workflows/plans.ts';

/** The migration of that id, whether or not there is one: its methods tell. */
export function migration(client: Client, id: string): MigrationHandle {
  return new MigrationHandle(client, id);
}
