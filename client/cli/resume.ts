/** `cutover resume <id>` */
import type { Command } from 'commander';
import { action, addCommand, withConnection } from './command.ts';
import { sendCommand, type SendOptions } from './send-command.ts';

export function addResume(program: Command): void {
  const command = addCommand(program, 'resume <id>', {
    summary: 'let a paused migration go on',
    description: 'Lets a paused migration go on.',
    examples: ['resume shop'],
  });
  withConnection(command)
    .option('--reason <text>', 'why, for the record')
    .action(action((id: string, options: SendOptions) => sendCommand('resume', id, options)));
}
