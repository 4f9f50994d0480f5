/** `cutover schedule show <id>` */
import type { Command } from 'commander';
import { action, addCommand, withClient, withConnection, type ConnectionOptions } from './command.ts';
import { ExitCode } from './exit-code.ts';
import { print } from './output.ts';

export function addScheduleShow(schedule: Command): void {
  const command = addCommand(schedule, 'show <id>', {
    summary: 'show a schedule: its next times, its last runs, what daylight saving does to it',
    description:
      "Shows the schedule as its file has it, the next ten times as Temporal's server reckons them, the last ten runs and what came of each, and what the next changes of the clock do to it. Exit code 3 where a run waits for its operator and holds the next ones up.",
    examples: ['schedule show nightly', 'schedule show nightly --json | jq .next'],
  });
  withConnection(command).action(action(show));
}

async function show(id: string, options: ConnectionOptions): Promise<ExitCode> {
  const info = await withClient(options, async (client) => {
    const { scheduleInfo } = await import('../schedule-info.ts');
    return scheduleInfo(client, id);
  });
  const { scheduleText } = await import('./schedule-view.ts');
  print(options, info, () => scheduleText(info, options));
  return info.blockedBy ? ExitCode.operator : ExitCode.done;
}
