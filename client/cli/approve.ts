/** `cutover approve <id>` */
import type { Command } from 'commander';
import { action, addCommand, withConnection } from './command.ts';
import { sendCommand, type SendOptions } from './send-command.ts';

export function addApprove(program: Command): void {
  const command = addCommand(program, 'approve <id>', {
    summary: 'open the gate that a migration waits at',
    description:
      'Opens the gate that the migration waits at, such as the one before the cutover. Refused, with the reason, while the gate is not ready. Who approved, when and why are kept.',
    examples: ['approve shop', 'approve shop --step approve-cutover --reason "CHG-1234"'],
  });
  withConnection(command)
    .option('--step <gate>', 'the gate that is meant: refused if another one waits by now')
    .option('--reason <text>', 'why, for the record')
    .action(action((id: string, options: SendOptions) => sendCommand('approve', id, options)));
}
