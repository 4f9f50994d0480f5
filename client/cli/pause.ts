/** `cutover pause <id>` */
import type { Command } from 'commander';
import { action, addCommand, withConnection } from './command.ts';
import { sendCommand, type SendOptions } from './send-command.ts';

export function addPause(program: Command): void {
  const command = addCommand(program, 'pause <id>', {
    summary: 'stop a migration at the border of its next step',
    description:
      'Stops the migration before its next step; what runs now runs to its end. The copy goes on where the engine can not hold it. Not possible while writes are held back.',
    examples: ['pause shop --reason "peak hours"'],
  });
  withConnection(command)
    .option('--reason <text>', 'why, for the record')
    .action(action((id: string, options: SendOptions) => sendCommand('pause', id, options)));
}
