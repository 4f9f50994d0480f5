/** Sends one operator command, and says what came of it. Each command has its own file, with its own help. */
import type { Command as MigrationCommand } from '../../spec/contract.ts';
import { nextCommand, withClient, type ConnectionOptions } from './command.ts';
import { note, print } from './output.ts';

export interface SendOptions extends ConnectionOptions {
  step?: string;
  reason?: string;
}

/** @throws Refused, NoMigration, NoWorker, Unreachable */
export async function sendCommand(command: MigrationCommand, id: string, options: SendOptions): Promise<void> {
  const { operatorName } = await import('../operator-name.ts');
  const by = operatorName();
  const { message } = await withClient(options, async (client) => {
    const { MigrationHandle } = await import('../migration-handle.ts');
    return new MigrationHandle(client, id).command(command, { by, step: options.step, reason: options.reason });
  });
  print(options, { id, command, by, message }, () => `${id}: ${message}`);
  if (!options.json) note(`follow it: ${nextCommand(`watch ${id}`, options)}`);
}
