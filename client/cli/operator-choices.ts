/** What an operator can do now, as commands to type. Pure; the workflow has the last word (workflows/commands.ts). */
import { ENDED, type GateStatus, type MigrationStatus } from '../../spec/status.ts';

export interface Choice {
  /** `approve shop --step cut-over`, without the program's name. */
  words: string;
  effect: string;
}

export function operatorChoices(status: MigrationStatus): Choice[] {
  const { id, operator, gate, phase } = status;
  if (ENDED.includes(phase)) return [{ words: `report ${id}`, effect: 'what it did' }];
  const watch = { words: `watch ${id}`, effect: 'follow it' };
  const abort = { words: `abort ${id} --reason "…"`, effect: 'undo what was done, and end' };
  // Once the target is the primary there is no way back, and an abort is refused.
  const aborts = status.cutovers.some(({ outcome }) => outcome === 'switched') ? [] : [abort];
  if (operator) {
    // The step is named, so that the command can't hit another one that waits by the time it arrives.
    const decide = (command: 'retry' | 'skip', effect: string) =>
      operator.choices.includes(command) ? [{ words: `${command} ${id} --step ${operator.step}`, effect }] : [];
    const title = status.steps.find((step) => step.id === operator.step)?.title ?? operator.step;
    return [
      ...decide('retry', `try "${title}" again`),
      ...decide('skip', `go on without "${title}"`),
      ...(operator.choices.includes('abort') ? [abort] : []),
    ];
  }
  switch (phase) {
    case 'waiting':
      return [
        ...(gate?.ready ? [approve(id, gate)] : [watch]),
        { words: `pause ${id}`, effect: 'stop before the next step' },
        ...aborts,
      ];
    case 'paused':
      return [{ words: `resume ${id}`, effect: 'go on' }, ...aborts];
    case 'running':
      return [watch, { words: `pause ${id}`, effect: 'stop before the next step' }, ...aborts];
    default:
      return [watch];
  }
}

/** The name is left to be typed: a command to copy would take the thought out of it. */
function approve(id: string, { id: gate, title, confirm }: GateStatus): Choice {
  return { words: `approve ${id} --step ${gate}${confirm === undefined ? '' : ' --confirm NAME'}`, effect: title };
}
