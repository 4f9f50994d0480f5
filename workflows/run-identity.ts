/**
 * Who a run is. One file may run many times, every night even, and each run makes things of its own: what an earlier run
 * made must never be taken for this one's, or a backup is called done that was never taken.
 */
import { workflowInfo } from '@temporalio/workflow';
import type { MigrationInput } from '../spec/contract.ts';
import type { Run } from './runbook.ts';

export interface RunIdentity {
  /** The file's id: tag `cutover:migration`. */
  migrationId: string;
  /** Of this run alone, the same over continue-as-new: tag `cutover:run`. */
  run: string;
  /** `20261121-030000`, UTC: the time it was scheduled for, or else started. For names. */
  stamp: string;
  /** The same as ISO. */
  at: string;
}

export function runIdentity(input: MigrationInput, run: Run): RunIdentity {
  const info = workflowInfo();
  // A schedule's run may start late; it is named for when it was due. The key has no constant in the SDK.
  const due = info.searchAttributes['TemporalScheduledStartTime']?.[0];
  const at = new Date(due instanceof Date ? due : run.status.startedAt).toISOString();
  return {
    migrationId: input.migration.id,
    run: info.firstExecutionRunId,
    stamp: `${at.slice(0, 10).replaceAll('-', '')}-${at.slice(11, 19).replaceAll(':', '')}`,
    at,
  };
}

/**
 * For the hooks' `run`: one pass through the critical section of one run.
 * @param cutover from 1; after one that was undone the hooks are used again, and are not a repeat
 */
export function hooksRun(cutover: number): string {
  return `${workflowInfo().firstExecutionRunId}/${cutover}`;
}

/** A name of at most `longest` characters for what this run makes: the file's id, shortened, and the stamp. */
export function nameOfRun({ migrationId, stamp }: RunIdentity, longest = 40): string {
  return `${migrationId.slice(0, longest - stamp.length - 1).replace(/-+$/, '')}-${stamp}`;
}
