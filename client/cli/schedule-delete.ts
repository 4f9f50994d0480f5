/** `cutover schedule delete <id>` */
import type { Command } from 'commander';
import { action, addCommand, withClient, withConnection, type ConnectionOptions } from './command.ts';
import { confirm } from './confirm.ts';
import { ExitCode } from './exit-code.ts';
import { note, print } from './output.ts';

interface DeleteOptions extends ConnectionOptions {
  yes?: boolean;
}

export function addScheduleDelete(schedule: Command): void {
  const command = addCommand(schedule, 'delete <id>', {
    summary: 'end a schedule',
    description:
      'Ends the schedule: nothing runs by itself any more. Runs that are under way go on, and what they made stays. Asks first; where there is no terminal, in a script, it is refused without --yes.',
    examples: ['schedule delete nightly', 'schedule delete nightly --yes'],
  });
  withConnection(command).option('--yes', 'do not ask; needed where there is no terminal').action(action(remove));
}

async function remove(id: string, options: DeleteOptions): Promise<ExitCode> {
  return withClient(options, async (client) => {
    const { describeSchedule } = await import('../schedule-info.ts');
    // Before the question: nobody should have to answer for a schedule that is not there.
    await describeSchedule(client, id);
    if (!(await confirm(`Delete the schedule ${id}? Nothing runs by itself any more.`, options.yes))) {
      note('not deleted');
      return ExitCode.failed;
    }
    const { deleteSchedule } = await import('../schedules.ts');
    const { running } = await deleteSchedule(client, id);
    print(options, { id, deleted: true, running }, () =>
      [
        `the schedule ${id} is deleted`,
        ...running.map((run) => `  its run ${run} goes on: npx cutover status ${run}`),
      ].join('\n'),
    );
    return ExitCode.done;
  });
}
