/** `cutover schedule pause <id>` and `resume <id>` */
import type { Command } from 'commander';
import { action, addCommand, withClient, withConnection, type ConnectionOptions } from './command.ts';
import { print } from './output.ts';

interface PauseOptions extends ConnectionOptions {
  reason?: string;
}

export function addSchedulePause(schedule: Command): void {
  const command = addCommand(schedule, 'pause <id>', {
    summary: 'let nothing run until it is resumed',
    description:
      'Lets no further run begin until `schedule resume`. A run that is under way goes on (`cutover pause` is for that). What is due meanwhile does not run, and is not made up for.',
    examples: ['schedule pause nightly --reason "the cache is being moved"'],
  });
  withConnection(command)
    .option('--reason <text>', 'why, for the record: `schedule list` shows it')
    .action(action((id: string, options: PauseOptions) => change('pause', id, options)));
}

export function addScheduleResume(schedule: Command): void {
  const command = addCommand(schedule, 'resume <id>', {
    summary: 'let a paused schedule run again',
    description:
      'Lets a paused schedule run again, from its next time on. What was due while it was paused can be run with `schedule backfill`.',
    examples: ['schedule resume nightly'],
  });
  withConnection(command)
    .option('--reason <text>', 'why, for the record')
    .action(action((id: string, options: PauseOptions) => change('resume', id, options)));
}

async function change(what: 'pause' | 'resume', id: string, options: PauseOptions): Promise<void> {
  const info = await withClient(options, async (client) => {
    const { pauseSchedule, resumeSchedule } = await import('../schedules.ts');
    return (what === 'pause' ? pauseSchedule : resumeSchedule)(client, id, { reason: options.reason });
  });
  const { timeText } = await import('./schedule-view.ts');
  print(options, info, () => {
    if (what === 'pause') return `${id} is paused: nothing runs until it is resumed`;
    const [first] = info.next;
    return `${id} is resumed; next run: ${first ? timeText(first, info.timeZone) : 'none, it is over'}`;
  });
}
