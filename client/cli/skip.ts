/** `cutover skip <id>` */
import type { Command } from 'commander';
import { action, addCommand, withConnection } from './command.ts';
import { sendCommand, type SendOptions } from './send-command.ts';

export function addSkip(program: Command): void {
  const command = addCommand(program, 'skip <id>', {
    summary: 'go on without the step that failed',
    description:
      'Goes on without the step that failed. Only where the plan of the migration says that the step may be skipped, and what is lost by it: see `cutover plan`.',
    examples: ['skip shop --step compare --reason "differences are known"'],
  });
  withConnection(command)
    .option('--step <id>', 'the step that is meant: refused if another one waits by now')
    .option('--reason <text>', 'why, for the record')
    .action(action((id: string, options: SendOptions) => sendCommand('skip', id, options)));
}
