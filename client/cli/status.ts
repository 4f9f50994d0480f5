/** `cutover status <id>` */
import type { Command } from 'commander';
import { action, addCommand, withClient, withConnection, type ConnectionOptions } from './command.ts';
import { ExitCode } from './exit-code.ts';
import { print } from './output.ts';

export function addStatus(program: Command): void {
  const command = addCommand(program, 'status <id>', {
    summary: 'show what a migration does, and what you can do now',
    description:
      'Shows the state of a migration, why it is in it and for how long still, and the commands that it takes now. Exit code 0 where it runs or is done, 1 where it was aborted or ended uncleanly, 3 where it waits for an operator.',
    examples: ['status shop', 'status shop --json | jq -r .phase'],
  });
  withConnection(command).action(action(status));
}

async function status(id: string, options: ConnectionOptions): Promise<ExitCode> {
  const found = await withClient(options, async (client) => {
    const { MigrationHandle } = await import('../migration-handle.ts');
    return new MigrationHandle(client, id).status();
  });
  const { statusText } = await import('./status-view.ts');
  print(options, found, () => statusText(found, options));
  if (found.phase === 'aborted') return ExitCode.failed;
  const { waitsForOperator } = await import('../waits-for-operator.ts');
  return waitsForOperator(found) ? ExitCode.operator : ExitCode.done;
}
