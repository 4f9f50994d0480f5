/** What a step on a restored machine is run with, and what comes of it. */
import type { MachineStep } from '../../spec/machine-steps.ts';
import type { CommandOutput } from '../../spec/machine.ts';
import type { Ours } from '../ec2/tags.ts';
import type { Launched } from './launch.ts';

export interface StepArgs<S extends MachineStep = MachineStep> {
  ours: Ours;
  machine: Launched;
  step: S;
  /** Of the step: a retry by an operator is a command of its own. */
  attempt: number;
  old: { private: string[]; public: string[] };
  agentTimeoutMs: number;
  output?: CommandOutput | undefined;
}

export interface StepResult {
  note: string;
  /** For the report; small. */
  details?: unknown;
  warnings?: string[];
}
