/** `cutover abort <id>` */
import type { Command } from 'commander';
import { action, addCommand, withConnection } from './command.ts';
import { confirm } from './confirm.ts';
import { ExitCode } from './exit-code.ts';
import { note } from './output.ts';
import { sendCommand, type SendOptions } from './send-command.ts';

interface AbortOptions extends SendOptions {
  yes?: boolean;
}

export function addAbort(program: Command): void {
  const command = addCommand(program, 'abort <id>', {
    summary: 'undo what a migration did, and end it',
    description:
      'Undoes what the migration did, last first, proves that the source takes writes, and ends it as aborted. What it leaves on the target is named. Refused once the target is the primary: there is no way back from there. Asks first; where there is no terminal, in a script, it is refused without --yes.',
    examples: ['abort shop --reason "wrong target"', 'abort shop --reason "wrong target" --yes'],
  });
  withConnection(command)
    .requiredOption('--reason <text>', 'why, for the record')
    .option('--yes', 'do not ask; needed where there is no terminal')
    .action(action(abort));
}

async function abort(id: string, options: AbortOptions): Promise<ExitCode> {
  if (!(await confirm(`Abort ${id} and undo what it did?`, options.yes))) {
    note('not aborted');
    return ExitCode.failed;
  }
  await sendCommand('abort', id, options);
  return ExitCode.done;
}
