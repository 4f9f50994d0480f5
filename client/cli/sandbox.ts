/** `cutover sandbox up|status|down`: a local AWS, Temporal and sources, to try everything out. */
import type { Command } from 'commander';
import type { SandboxInfo } from '../../sandbox/index.ts';
import { action, addCommand, type BasicOptions } from './command.ts';
import { ExitCode } from './exit-code.ts';
import { note, print } from './output.ts';

interface SandboxOptions extends BasicOptions {
  dir?: string;
  foreground?: boolean;
  postgres?: boolean;
}

export function addSandbox(program: Command): void {
  const sandbox = program
    .command('sandbox')
    .summary('a local AWS, Temporal and sources')
    .description(
      'A local AWS, a real Temporal with its UI, and a real Redis and Postgres to migrate from: no account, no Docker.',
    );
  const add = (usage: string, summary: string, run: (options: SandboxOptions) => Promise<ExitCode | void>) =>
    addCommand(sandbox, usage, { summary, examples: [`sandbox ${usage}`] })
      .option('--dir <folder>', 'where it keeps its state (several may run side by side)')
      .action(action(run));
  add('up', 'start it, and print what to set in the environment', up)
    .option('--foreground', 'run until Ctrl-C, and end it then')
    .option('--no-postgres', 'without the two Postgres servers, and the application that writes to them');
  add('status', 'show whether it runs, and where', status);
  add('down', 'end all its processes; its state stays on disk', down);
}

const dirOf = ({ dir }: SandboxOptions) => (dir ? { dir } : {});

async function up(options: SandboxOptions): Promise<void> {
  const { sandboxUp } = await import('../../sandbox/index.ts');
  const foreground = options.foreground ? { foreground: true } : {};
  const postgres = options.postgres ?? true;
  const info = await sandboxUp({ ...dirOf(options), ...foreground, postgres, onProgress: note });
  print(options, info, () => infoText(info));
}

async function status(options: SandboxOptions): Promise<ExitCode> {
  const { sandboxStatus } = await import('../../sandbox/index.ts');
  const info = await sandboxStatus(dirOf(options));
  print(options, info ?? { running: false }, () =>
    info ? infoText(info) : 'no sandbox runs here; start one: npx cutover sandbox up',
  );
  return info ? ExitCode.done : ExitCode.unreachable;
}

async function down(options: SandboxOptions): Promise<void> {
  const { sandboxDown } = await import('../../sandbox/index.ts');
  const { dir, ended } = await sandboxDown(dirOf(options));
  print(options, { running: false, dir, ended }, () =>
    ended ? `the sandbox is down; its state stays in ${dir}` : `no sandbox runs in ${dir}`,
  );
}

function infoText({ env, ...parts }: SandboxInfo): string {
  const lines = Object.entries(parts).map(([name, value]) => `${name.padEnd(14)} ${String(value)}`);
  const set = Object.entries(env).map(([name, value]) => `  export ${name}=${value}`);
  return [...lines, '', 'for the worker and the command line:', ...set].join('\n');
}
