/** The engine behind a replication task: it moves rows from one Postgres to another as DMS does. */
import type { OpenTaskEngine } from './contract.ts';
import { Task } from './task.ts';

/** Opens a task's engine. Nothing runs until start(); what an engine before it left in `spec.dir` is taken up. */
export const openTaskEngine: OpenTaskEngine = (spec, onEnd) => new Task(spec, onEnd);
