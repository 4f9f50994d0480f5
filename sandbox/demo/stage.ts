/** What the demo talks with: headings for people, and the ordinary command line as a process. */
import { spawn, type ChildProcess } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import pc from 'picocolors';
import { nodeProgram } from '../node-program.ts';
import { errorCode } from '../runtime/error-code.ts';
import { LEASH_SCRIPT } from '../runtime/leash.ts';
import { serverEnvironment } from '../runtime/server-environment.ts';

export function heading(text: string): void {
  process.stdout.write(`\n${pc.bold(pc.cyan(`▸ ${text}`))}\n`);
}

export function say(text: string): void {
  process.stdout.write(`  ${text.replaceAll('\n', '\n  ')}\n`);
}

const OF_THE_TERMINAL = ['TERM', 'COLORTERM', 'NO_COLOR', 'FORCE_COLOR', 'COLUMNS', 'LINES'];

/** The environment of everything that the demo starts: the sandbox's, and nothing of the developer's own. */
export function demoEnvironment(sandbox: Readonly<Record<string, string>>): NodeJS.ProcessEnv {
  const env = serverEnvironment({ ...sandbox, CUTOVER_USER: 'demo' });
  for (const name of OF_THE_TERMINAL) if (process.env[name] !== undefined) env[name] = process.env[name];
  return env;
}

export interface CutoverOptions {
  env: NodeJS.ProcessEnv;
  cwd: string;
  /** Exit codes that are no failure. Default: 0 alone. */
  expect?: readonly number[];
  /** Shown as `$ cutover …`, its output too. Default true. */
  show?: boolean;
}

export interface CutoverResult {
  code: number;
  /** Empty where it went to the terminal itself. */
  stdout: string;
}

/** Thrown for an exit code that was not expected, with the command and what it printed. */
class CommandFailed extends Error {
  override readonly name = 'CommandFailed';
}

/**
 * Runs `cutover …` as a user would, and shows it. On a leash: it ends with the demo, however that ends.
 * @throws CommandFailed
 */
export async function cutover(args: readonly string[], options: CutoverOptions): Promise<CutoverResult> {
  const { expect = [0], show = true } = options;
  const shownAs = `cutover ${args.join(' ')}`;
  if (show) process.stdout.write(`  ${pc.bold(`$ ${shownAs}`)}\n`);
  // Given the terminal itself, it shows its live view.
  const terminal = show && process.stdout.isTTY;
  const program = nodeProgram('client/cli/main');
  const child = spawn(
    '/bin/sh',
    ['-c', LEASH_SCRIPT, 'leash:cutover', '2', program.command, ...program.args, ...args],
    {
      detached: true,
      cwd: options.cwd,
      env: options.env,
      stdio: ['pipe', terminal ? 'inherit' : 'pipe', terminal ? 'inherit' : 'pipe', 'pipe'],
    },
  );
  child.stdin?.on('error', () => {}); // Nothing is written to it; its end is what counts.
  running.set(child, undefined);
  let stdout = '';
  let stderr = '';
  child.stdout?.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr?.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  if (show) for (const stream of [child.stdout, child.stderr]) if (stream) showLines(stream);
  const code = await exitCode(child);
  running.delete(child);
  if (!expect.includes(code)) {
    const said = show ? '' : `:\n${`${stdout}\n${stderr}`.trim()}`;
    throw new CommandFailed(`$ ${shownAs}\nended with exit code ${code}, expected ${expect.join(' or ')}${said}`);
  }
  return { code, stdout };
}

/** By leash, the program's own pid once it is known. */
const running = new Map<ChildProcess, number | undefined>();
const AFTER_INTERRUPT_MS = 2_000;

/** Ends every `cutover …` that runs, as Ctrl-C would; they are in sessions of their own, where it does not reach. */
export async function endCommands(): Promise<void> {
  await Promise.all(
    [...running].map(async ([leash, pid]) => {
      const ended = new Promise((done) => leash.once('close', done));
      if (leash.exitCode !== null || leash.signalCode !== null) return;
      if (pid !== undefined) interrupt(pid);
      await Promise.race([ended, delay(AFTER_INTERRUPT_MS, undefined, { ref: false })]);
      leash.stdin?.destroy(); // The leash's cue.
      await ended;
    }),
  );
}

function interrupt(pid: number): void {
  try {
    process.kill(pid, 'SIGINT');
  } catch (error) {
    if (errorCode(error) !== 'ESRCH') throw error;
  }
}

function showLines(stream: NodeJS.ReadableStream): void {
  let rest = '';
  stream.on('data', (chunk: Buffer) => {
    const lines = (rest + chunk.toString()).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) process.stdout.write(`  ${line}\n`);
  });
  stream.on('end', () => {
    if (rest !== '') process.stdout.write(`  ${rest}\n`);
  });
}

/** The program's own code comes on the leash's descriptor 3. */
function exitCode(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    let report = '';
    child.stdio[3]?.on('data', (chunk: Buffer) => {
      report += chunk.toString();
      const pid = /^pid (\d+)\n/.exec(report)?.[1];
      if (pid !== undefined && running.has(child)) running.set(child, Number(pid));
    });
    child.once('error', reject);
    // As the leash may be killed by its own last command, its exit says nothing.
    child.once('close', () => resolve(Number(/exit (\d+)/.exec(report)?.[1] ?? Number.NaN)));
    child.once('exit', () => child.stdin?.destroy());
  });
}
