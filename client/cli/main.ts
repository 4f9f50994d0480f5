#!/usr/bin/env node
/** The command line `cutover`. */
import { CommanderError } from 'commander';
import { ExitCode } from './exit-code.ts';
import { program } from './program.ts';

async function main(argv: string[]): Promise<void> {
  // `cutover list | head` closes our stdout, which is no failure.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit();
    throw error;
  });
  const json = argv.includes('--json');
  const words = argv.slice(2);
  if (words.length === 0) {
    program(json).outputHelp({ error: true });
    process.exitCode = ExitCode.usage;
    return;
  }
  try {
    await program(json).parseAsync(argv);
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    // commander has printed its message; help and version end in 0.
    process.exitCode = error.exitCode === 0 ? ExitCode.done : ExitCode.usage;
    if (json && error.exitCode !== 0) {
      const message = error.message.replace(/^error: /, '');
      process.stderr.write(`${JSON.stringify({ error: { type: 'WrongUsage', message, exitCode: 2 } }, null, 2)}\n`);
    }
  }
}

await main(process.argv);
