/** `cutover approve <id>` */
import { createInterface } from 'node:readline/promises';
import type { Command } from 'commander';
import type { MigrationHandle } from '../migration-handle.ts';
import { action, addCommand, nextCommand, withClient, withConnection, type ConnectionOptions } from './command.ts';
import { note, print } from './output.ts';

interface ApproveOptions extends ConnectionOptions {
  step?: string;
  reason?: string;
  confirm?: string;
}

export function addApprove(program: Command): void {
  const command = addCommand(program, 'approve <id>', {
    summary: 'open the gate that a migration waits at',
    description:
      'Opens the gate that the migration waits at, such as the one before the cutover. Refused, with the reason, while the gate is not ready. A gate before something that can’t be taken back, such as a deletion, asks for a name to be typed: at a terminal here, in a script by --confirm. Who approved, when and why are kept.',
    examples: [
      'approve shop',
      'approve shop --step approve-cutover --reason "CHG-1234"',
      'approve retire-shop --confirm shop-cache',
    ],
  });
  withConnection(command)
    .option('--step <gate>', 'the gate that is meant: refused if another one waits by now')
    .option('--reason <text>', 'why, for the record')
    .option('--confirm <name>', 'the name that the gate asks for')
    .action(action(approve));
}

/** @throws Refused, NoMigration, NoWorker, Unreachable */
async function approve(id: string, options: ApproveOptions): Promise<void> {
  const { operatorName } = await import('../operator-name.ts');
  const by = operatorName();
  const { message } = await withClient(options, async (client) => {
    const { MigrationHandle: Handle } = await import('../migration-handle.ts');
    const handle = new Handle(client, id);
    const confirm = options.confirm ?? (await typedName(handle));
    return handle.approve({ by, step: options.step, reason: options.reason, confirm });
  });
  print(options, { id, command: 'approve', by, message }, () => `${id}: ${message}`);
  if (!options.json) note(`follow it: ${nextCommand(`watch ${id}`, options)}`);
}

/** Asks for the name where the gate wants one and somebody is there to type it; else the gate itself refuses. */
async function typedName(handle: MigrationHandle): Promise<string | undefined> {
  if (!process.stdin.isTTY) return undefined;
  const { gate } = await handle.status();
  if (gate?.confirm === undefined) return undefined;
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return (await terminal.question(`${gate.title}\nType its name to approve: `)).trim();
  } catch {
    return undefined; // Ctrl-C or Ctrl-D
  } finally {
    terminal.close();
  }
}
