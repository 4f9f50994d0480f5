/** `cutover retry <id>` */
import type { Command } from 'commander';
import { action, addCommand, withConnection } from './command.ts';
import { sendCommand, type SendOptions } from './send-command.ts';

export function addRetry(program: Command): void {
  const command = addCommand(program, 'retry <id>', {
    summary: 'try the step that failed again',
    description: 'Tries the step that failed again, once its cause is mended.',
    examples: ['retry shop', 'retry shop --step attach'],
  });
  withConnection(command)
    .option('--step <id>', 'the step that is meant: refused if another one waits by now')
    .option('--reason <text>', 'why, for the record')
    .action(action((id: string, options: SendOptions) => sendCommand('retry', id, options)));
}
