/**
 * What client, worker and workflows have to agree on: names, queues, search attributes, commands. Changing any of it
 * breaks running migrations, so fields are only ever added, and optional.
 */
import { defineSearchAttributeKey, SearchAttributeType } from '@temporalio/common';
import { defineQuery, defineUpdate } from '@temporalio/workflow';
import type { Kind, Migration } from './migration.ts';
import type { MigrationStatus, Plan } from './status.ts';

export const DEFAULT_TASK_QUEUE = 'cutover';

/** The queues of a worker. Long waits hold a slot for weeks, so they have a queue of their own with slots enough. */
export function taskQueues(base: string) {
  return {
    /** Workflows and short activities. */
    main: base,
    /** Activities that poll and heartbeat, for minutes to weeks. */
    wait: `${base}-wait`,
    /** Activities that read or move much data; few at once. */
    copy: `${base}-copy`,
    /** Followers of a copy: as long as a wait, as busy as a copy. */
    follow: `${base}-follow`,
  };
}

/** The workflow type that runs each kind. */
export const WORKFLOW_TYPES: Record<Kind, string> = {
  'redis-online': 'redisOnline',
  'redis-offline': 'redisOffline',
  'redis-dual-write': 'redisDualWrite',
  'elasticache-backup': 'elasticacheBackup',
  postgres: 'postgres',
  'elasticache-restore': 'elasticacheRestore',
  'elasticache-retire': 'elasticacheRetire',
  'dynamodb-export': 'dynamodbExport',
  'dynamodb-restore': 'dynamodbRestore',
  'machine-backup': 'machineBackup',
  'machine-restore': 'machineRestore',
};

export const SearchAttributes = {
  kind: defineSearchAttributeKey('CutoverKind', SearchAttributeType.KEYWORD),
  phase: defineSearchAttributeKey('CutoverPhase', SearchAttributeType.KEYWORD),
  /** `step 4/12 follow`, for the list of the Temporal UI, which can't show details. */
  step: defineSearchAttributeKey('CutoverStep', SearchAttributeType.KEYWORD),
  needsOperator: defineSearchAttributeKey('CutoverNeedsOperator', SearchAttributeType.BOOL),
} as const;

/** The one argument of every migration's workflow. */
export interface MigrationInput<M extends Migration = Migration> {
  migration: M;
  startedBy: string;
  taskQueue: string;
  /** The schedule that started it; absent where somebody did. Its workflow's id is then the schedule's with a time. */
  schedule?: string;
  /** Set by the workflow itself when it continues as new. */
  carried?: CarriedState;
}

/** All that a migration knows, carried over when its history is cut. Version 1. */
export interface CarriedState {
  version: 1;
  status: MigrationStatus;
  /** Results of the steps that are done, by step id. */
  results: Record<string, unknown>;
  journal: JournalEntry[];
  /** The target is the primary; there is no way back by an abort. */
  switched: boolean;
}

/** What must be undone by an abort, written down before the step applies it. */
export interface JournalEntry {
  id: string;
  title: string;
  /** The name under which the workflow registered the undo, and its argument. */
  undo: string;
  arg: unknown;
}

export interface CommandInput {
  /** Who commands, for the record. */
  by: string;
  reason?: string;
  /** The gate or step that is meant; refused if another one is waiting by now. */
  step?: string;
  /** approve: what the gate asks to be typed (GateStatus.confirm). */
  confirm?: string;
}

/** What the operator is told back. A refused command is an error with the reason instead. */
export interface CommandAnswer {
  message: string;
}

export const COMMANDS = ['approve', 'pause', 'resume', 'retry', 'skip', 'abort'] as const;
export type Command = (typeof COMMANDS)[number];

export const statusQuery = defineQuery<MigrationStatus>('status');
export const planQuery = defineQuery<Plan>('plan');
export const commandUpdates = {
  approve: defineUpdate<CommandAnswer, [CommandInput]>('approve'),
  pause: defineUpdate<CommandAnswer, [CommandInput]>('pause'),
  resume: defineUpdate<CommandAnswer, [CommandInput]>('resume'),
  retry: defineUpdate<CommandAnswer, [CommandInput]>('retry'),
  skip: defineUpdate<CommandAnswer, [CommandInput]>('skip'),
  abort: defineUpdate<CommandAnswer, [CommandInput]>('abort'),
} as const;

/** What is done with a single table of a Postgres migration. */
export interface TableCommandInput {
  /** `schema.table`, as `cutover report` shows it. */
  table: string;
  by: string;
  reason?: string;
  /** reloadTable: compare its rows again, and load none. */
  validateOnly?: boolean;
}
export const reloadTableUpdate = defineUpdate<CommandAnswer, [TableCommandInput]>('reloadTable');
export const leaveOutTableUpdate = defineUpdate<CommandAnswer, [TableCommandInput]>('leaveOutTable');

/** `preflight` without a migration: the same checks, as a workflow of its own that changes nothing. */
export const PREFLIGHT_WORKFLOW = 'preflight';

/** The refusal's type of an update that a validator turned down. */
export const REFUSED = 'cutover.Refused';
