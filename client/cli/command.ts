/** What all commands have in common: options, output, errors, exit codes. One file per command builds on it. */
import type { Client } from '@temporalio/client';
import { Option, type Command } from 'commander';
import { ExitCode } from './exit-code.ts';
import { printError } from './output.ts';

export interface BasicOptions {
  json?: boolean;
  debug?: boolean;
}

export interface ConnectionOptions extends BasicOptions {
  address?: string;
  namespace?: string;
  profile?: string;
  taskQueue?: string;
}

/** Adds a command. `examples` are lines without the program's name. */
export function addCommand(
  program: Command,
  usage: string,
  text: { summary: string; description?: string; examples?: readonly string[]; json?: false },
): Command {
  const command = program
    .command(usage)
    .summary(text.summary)
    .description(text.description ?? text.summary);
  if (text.json !== false) command.option('--json', 'print one JSON document (errors too, to stderr)');
  command.option('--debug', 'show stack traces');
  if (text.examples)
    command.addHelpText('after', `\nExamples:\n${text.examples.map((line) => `  $ cutover ${line}`).join('\n')}`);
  return command;
}

/** The options of a command that talks to Temporal. */
export function withConnection(command: Command, taskQueue: 'task-queue' | 'none' = 'none'): Command {
  const queue = new Option('--task-queue <name>', 'the queue of its workers (default: $CUTOVER_TASK_QUEUE or cutover)');
  // A migration that runs knows its queue. Scripts pass the same options to every command, so it is taken all the same.
  if (taskQueue === 'none') queue.hideHelp();
  return command
    .option('--address <host:port>', 'of Temporal (default: $TEMPORAL_ADDRESS, the profile, or localhost:7233)')
    .option('--namespace <name>', 'of Temporal (default: $TEMPORAL_NAMESPACE, the profile, or default)')
    .option('--profile <name>', "of Temporal's own configuration file (default: $TEMPORAL_PROFILE)")
    .addOption(queue);
}

/** Wraps a command's body, whose last argument is its options: its answer is the exit code, its errors have no stack. */
// oxlint-disable-next-line typescript/no-explicit-any -- commander's arguments are as many as the command declares
export function action(body: (...given: any[]) => Promise<ExitCode | void>): (...args: unknown[]) => Promise<void> {
  return async (...args) => {
    // commander adds the command itself as the last argument.
    const given = args.slice(0, -1);
    try {
      process.exitCode = (await body(...given)) ?? ExitCode.done;
    } catch (error) {
      process.exitCode = await printError(error, given.at(-1) as BasicOptions);
    }
  };
}

/** Connects, runs `body`, and closes the connection, so that the process can end. */
export async function withClient<T>(options: ConnectionOptions, body: (client: Client) => Promise<T>): Promise<T> {
  const { connect } = await import('../connect.ts');
  const client = await connect(options);
  try {
    return await body(client);
  } finally {
    await client.connection.close();
  }
}

/** A command line to type next, with the connection's options as they were given to this one. */
export function nextCommand(words: string, options: ConnectionOptions = {}): string {
  const given = (['address', 'namespace', 'profile'] as const).filter((name) => options[name] !== undefined);
  return ['npx cutover', words, ...given.map((name) => `--${name} ${options[name]}`)].join(' ');
}
