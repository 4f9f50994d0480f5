/** `cutover schedule list` */
import type { Command } from 'commander';
import type { ScheduleInfo } from '../schedule-info.ts';
import { action, addCommand, withClient, withConnection, type ConnectionOptions } from './command.ts';
import { print } from './output.ts';

export function addScheduleList(schedule: Command): void {
  const command = addCommand(schedule, 'list', {
    summary: 'list the schedules, their next and last runs, and what did not run',
    description:
      'Lists the schedules: when they run next, what came of the last run, how many runs were missed in an outage of Temporal or skipped because the one before had not ended, and which run waits for its operator and holds the next ones up.',
    examples: ['schedule list', "schedule list --json | jq '.[] | select(.blockedBy)'"],
  });
  withConnection(command).action(action(list));
}

async function list(options: ConnectionOptions): Promise<void> {
  const found = await withClient(options, async (client) => {
    const { listSchedules } = await import('../schedules.ts');
    const all: ScheduleInfo[] = [];
    for await (const one of listSchedules(client)) all.push(one);
    return all;
  });
  const { blockedLines, scheduleTable } = await import('./schedule-view.ts');
  print(options, found, () => {
    if (found.length === 0) return 'no schedules (cutover schedule create <file> makes one)';
    const blocked = found.flatMap((info) => blockedLines(info, options));
    return [...scheduleTable(found), ...(blocked.length > 0 ? ['', ...blocked] : [])].join('\n');
  });
}
