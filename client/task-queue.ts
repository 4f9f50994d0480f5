/** The workers' queue where nobody names one. Apart from start-options.ts, which loads every kind's plan. */
import { DEFAULT_TASK_QUEUE } from '../spec/contract.ts';

export function defaultTaskQueue(): string {
  return process.env['CUTOVER_TASK_QUEUE'] || DEFAULT_TASK_QUEUE;
}
