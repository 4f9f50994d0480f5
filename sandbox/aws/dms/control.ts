import { z } from 'zod';
import type { Cloud } from '../cloud.ts';
import type { EngineScript } from './engine/contract.ts';
import type { TaskState } from './state.ts';
import { failTask } from './task-lifecycle.ts';

const stopReason = z.enum([
  'NORMAL',
  'RECOVERABLE_ERROR',
  'FATAL_ERROR',
  'FULL_LOAD_ONLY_FINISHED',
  'STOPPED_AFTER_FULL_LOAD',
  'STOPPED_AFTER_CACHED_EVENTS',
  'STOPPED_DUE_TO_LOW_MEMORY',
  'STOPPED_DUE_TO_LOW_DISK',
]);

const engineScript = z.strictObject({
  failAfterRows: z.strictObject({ rows: z.int().min(0), reason: stopReason, message: z.string() }).optional(),
  failTable: z.strictObject({ schema: z.string(), table: z.string(), message: z.string() }).optional(),
  loadRowsPerSecond: z.number().positive().optional(),
  freezeApply: z.boolean().optional(),
});

/** Over HTTP: `POST /_sandbox/<command>`. `task` is a task's identifier or ARN. */
export const DMS_COMMANDS = {
  /** What the task's engine is to suffer; in place of what was scripted before. Allowed before the task is started. */
  dmsScript: z.strictObject({ task: z.string(), script: engineScript }),
  /** The running task ends now, as if by itself. */
  dmsFailTask: z.strictObject({
    task: z.string(),
    status: z.enum(['stopped', 'failed']).default('failed'),
    reason: stopReason.default('FATAL_ERROR'),
    message: z.string().default('Failed by the sandbox’s script.'),
  }),
  /** Seconds, as CloudWatch's CDCLatencySource and CDCLatencyTarget. */
  dmsLatency: z.strictObject({ task: z.string() }),
} as const;

/** Scripts DMS's tasks. Slow states, throttling and failing calls are `Control`'s, as for every service. */
export class DmsControl {
  readonly #cloud: Cloud;

  constructor(cloud: Cloud) {
    this.#cloud = cloud;
  }

  /** @throws Error when there is no such task. */
  script(task: string, script: EngineScript): void {
    this.#cloud.dms.engines.script(this.#find(task).arn, script);
  }

  /** Resolves when the engine has ended; the status changes at once. @throws Error when the task does not run. */
  async failTask(
    task: string,
    end: Partial<Omit<z.input<typeof DMS_COMMANDS.dmsFailTask>, 'task'>> = {},
  ): Promise<void> {
    const found = this.#find(task);
    const { task: _task, ...parsed } = DMS_COMMANDS.dmsFailTask.parse({ task, ...end });
    if (found.status !== 'running' && found.status !== 'starting') {
      throw new Error(`Replication task ${found.id} is ${found.status}, and can't fail now.`);
    }
    await failTask(this.#cloud, found, parsed);
  }

  /** @throws Error when there is no such task, or it was never started. */
  latency(task: string): { source: number; target: number } {
    const found = this.#find(task);
    const engine = this.#cloud.dms.engines.get(found.arn);
    if (engine === undefined) throw new Error(`Replication task ${found.id} has no engine: it was never started.`);
    return engine.latency();
  }

  #find(task: string): TaskState {
    const { tasks } = this.#cloud.store.state.dms;
    const found = Object.values(tasks).find((entry) => entry.arn === task || entry.id === task.toLowerCase());
    if (found === undefined) {
      const known = Object.values(tasks).map((entry) => entry.id);
      throw new Error(
        `There is no replication task ${task}. There are: ${known.length === 0 ? 'none' : known.join(', ')}.`,
      );
    }
    return found;
  }
}
