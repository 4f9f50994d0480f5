/** A program on the worker's machine, without a shell. It may be run twice: after a crash it is run again. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import type { z } from 'zod';
import { ErrorType } from '../../spec/errors.ts';
import type { commandHook } from '../../spec/hooks.ts';
import { permanent } from '../errors.ts';
import { redact } from '../secrets/redact.ts';
import { resolveSecret } from '../secrets/resolve.ts';
import { fillIn, type HookContext } from './hook-context.ts';

type CommandHook = z.output<typeof commandHook>;

/** What is kept of the output, characters; far more than is shown, so that a secret is never cut in two at the edge. */
const KEPT = 64_000;
const SHOWN = 1_000;
/** From the polite signal to the other one, ms. */
const GRACE_MS = 3_000;
/** How long after its end a program's output may still come, ms: a child of its own may hold the pipe for ever. */
const LATE_OUTPUT_MS = 500;

/** Runs the program. @throws cutover.Hook with its output's tail where it fails; cutover.Secret */
export async function runCommand(hook: CommandHook, context: HookContext): Promise<void> {
  await runProgram(hook.run, hook, context);
}

/** Runs the file's undo program, if it names one. */
export async function undoCommand(hook: CommandHook, context: HookContext): Promise<void> {
  if (hook.undo) await runProgram(hook.undo, hook, context);
}

async function runProgram(words: string[], hook: CommandHook, context: HookContext): Promise<void> {
  const [program = '', ...args] = words.map((word) => fillIn(word, context));
  const env = await environment(hook, context);
  // Its own process group: what the program starts is ended with it.
  const child = spawn(program, args, { shell: false, detached: true, stdio: ['ignore', 'pipe', 'pipe'], env });
  const output = collect(child);
  const stop = () => void endGroup(child);
  context.signal.addEventListener('abort', stop, { once: true });
  if (context.signal.aborted) stop();
  try {
    context.say(`running ${program}`);
    const { code, signal } = await exited(child, program);
    const tail = await output.tail();
    if (context.signal.aborted) {
      await endGroup(child);
      throw permanent(ErrorType.hook, `${program} was ended${shown(tail)}`);
    }
    if (code !== 0) {
      const how = signal === null ? `exit code ${code}` : `signal ${signal}`;
      throw permanent(ErrorType.hook, `${program} ended with ${how}${shown(tail)}`, {
        facts: { exitCode: code, signal },
        remedy: 'run it by hand on the worker to see why; then retry the step',
      });
    }
  } finally {
    context.signal.removeEventListener('abort', stop);
  }
}

async function environment(hook: CommandHook, context: HookContext): Promise<NodeJS.ProcessEnv> {
  const { migrationId, target } = context;
  const env: NodeJS.ProcessEnv = {
    ...process.env,
    CUTOVER_MIGRATION: migrationId,
    CUTOVER_TARGET_HOST: target.host,
    CUTOVER_TARGET_PORT: String(target.port),
  };
  for (const [name, value] of Object.entries(hook.env)) {
    env[name] = typeof value === 'string' ? fillIn(value, context) : await resolveSecret(value, context.aws);
  }
  return env;
}

async function exited(child: ChildProcess, program: string): Promise<{ code: number | null; signal: string | null }> {
  try {
    await once(child, 'exit');
    return { code: child.exitCode, signal: child.signalCode };
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
    throw permanent(ErrorType.hook, `${program} can't be started on the worker: ${code}`, {
      remedy: 'is the program installed on the worker, executable, and named by its full path?',
    });
  }
}

/** Ends the program and all that it started: TERM, then KILL. By its group, whose id nobody else can have meanwhile. */
async function endGroup(child: ChildProcess): Promise<void> {
  const group = child.pid;
  if (group === undefined) return;
  const send = (signal: NodeJS.Signals | 0) => {
    try {
      return process.kill(-group, signal);
    } catch {
      return false;
    }
  };
  const until = performance.now() + GRACE_MS;
  for (send('SIGTERM'); send(0); await delay(50)) if (performance.now() > until) return void send('SIGKILL');
}

function collect(child: ChildProcess): { tail: () => Promise<string> } {
  let text = '';
  const streams = [child.stdout, child.stderr].filter((stream) => stream !== null);
  const ended = streams.map(async (stream) => {
    stream.setEncoding('utf8');
    stream.on('data', (chunk: string) => (text = (text + chunk).slice(-KEPT)));
    await once(stream, 'close').catch(() => undefined);
  });
  return {
    tail: async () => {
      await Promise.race([Promise.allSettled(ended), delay(LATE_OUTPUT_MS)]);
      for (const stream of streams) stream.destroy();
      return text;
    },
  };
}

function shown(output: string): string {
  const text = redact(output).trim();
  return text === '' ? ', no output' : `: ${text.slice(-SHOWN)}`;
}
