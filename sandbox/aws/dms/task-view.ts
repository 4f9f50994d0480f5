import type { ReplicationTask, ReplicationTaskStats } from '@aws-sdk/client-database-migration-service';
import type { Cloud } from '../cloud.ts';
import type { EngineStats } from './engine/contract.ts';
import type { TaskState } from './state.ts';
import { knownEngine } from './task-engine.ts';

const NOTHING: EngineStats = {
  FullLoadProgressPercent: 0,
  ElapsedTimeMillis: 0,
  TablesLoaded: 0,
  TablesLoading: 0,
  TablesQueued: 0,
  TablesErrored: 0,
};

/** What the engine counts. Zeros before the first start. */
export async function statsOf(cloud: Cloud, task: TaskState): Promise<EngineStats | undefined> {
  return (await knownEngine(cloud, task))?.stats();
}

/** The same, where the engine is open: for the answers of calls that change the task. */
export function statsNow(cloud: Cloud, task: TaskState): EngineStats | undefined {
  return cloud.dms.engines.get(task.arn)?.stats();
}

/** The dates of starts and stops are the control plane's own, the counts and the load's dates the engine's. */
function statsView(task: TaskState, stats: EngineStats = NOTHING): ReplicationTaskStats {
  return {
    FullLoadProgressPercent: stats.FullLoadProgressPercent,
    ElapsedTimeMillis: stats.ElapsedTimeMillis,
    TablesLoaded: stats.TablesLoaded,
    TablesLoading: stats.TablesLoading,
    TablesQueued: stats.TablesQueued,
    TablesErrored: stats.TablesErrored,
    FreshStartDate: date(task.freshStartAt),
    StartDate: date(task.startedAt),
    StopDate: date(task.stoppedAt),
    FullLoadStartDate: date(stats.FullLoadStartDate),
    FullLoadFinishDate: date(stats.FullLoadFinishDate),
  };
}

export function taskView(task: TaskState, stats: EngineStats | undefined, withSettings: boolean): ReplicationTask {
  return {
    ReplicationTaskIdentifier: task.id,
    SourceEndpointArn: task.sourceArn,
    TargetEndpointArn: task.targetArn,
    ReplicationInstanceArn: task.instanceArn,
    MigrationType: task.migrationType,
    ...(withSettings ? { TableMappings: task.mappings, ReplicationTaskSettings: JSON.stringify(task.settings) } : {}),
    Status: task.status,
    LastFailureMessage: task.failure,
    StopReason: task.stopReason,
    ReplicationTaskCreationDate: new Date(task.createdAt),
    ReplicationTaskStartDate: date(task.startedAt),
    ReplicationTaskArn: task.arn,
    ReplicationTaskStats: statsView(task, stats),
    TaskData: task.taskData,
  };
}

export function date(at: string | number | undefined): Date | undefined {
  return at === undefined ? undefined : new Date(at);
}
