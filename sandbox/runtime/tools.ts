import { accessSync, constants, mkdirSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fetchLock } from './tool-lock.ts';
import { recipeFor } from './tool-recipes.ts';
import type { Fetch, Launch, ToolContext, ToolName, ToolRecipe } from './tool-recipe.ts';
import { cacheFolder, dropDeadStaging, newStaging, remember, remembered } from './tool-cache.ts';
import type { ToolProgress } from './tool-progress.ts';

export type { ToolName } from './tool-recipe.ts';
export type { ToolProgress } from './tool-progress.ts';
export { terminalProgress } from './tool-progress.ts';

export interface Tool {
  name: ToolName;
  path: string;
  /** Stand before the program's own arguments (moto runs as `python -m moto.server`). */
  args: readonly string[];
  version: string;
  /** What a redis-server or valkey-server really is. */
  flavour?: 'redis' | 'valkey';
}

export interface EnsureToolOptions {
  onProgress?: ((progress: ToolProgress) => void) | undefined;
  /** Default: process.env. PATH, HOME, CUTOVER_CACHE and the variables that name a tool are read from it. */
  env?: NodeJS.ProcessEnv;
}

/** The tool can't be had; the message names it, what was tried and why each failed, and the commands that install it. */
class ToolError extends Error {
  override readonly name = 'ToolError';
}

const TICK_MS = 1_000;

/**
 * Finds a program, or fetches it: its own variable, PATH, the cache, then each way to fetch it that this machine has.
 * Milliseconds when it is there; minutes on a first fetch, told through onProgress. Several processes may ask at once:
 * one fetches, the others wait for it.
 * @throws ToolError when it can't be had, or when its variable names a program that is not fit.
 */
export async function ensureTool(name: ToolName, options: EnsureToolOptions = {}): Promise<Tool> {
  const env = options.env ?? process.env;
  const context: ToolContext = { env, cache: cacheFolder(env), onPath: (program) => findOnPath(program, env) };
  const recipe = recipeFor(name);
  const tried: string[] = [];
  const present = await findPresent(recipe, context, tried);
  if (present !== undefined) return present;

  const startedAt = Date.now();
  const report = (state: ToolProgress['state'], how: string, note?: string): void =>
    options.onProgress?.({
      tool: name,
      state,
      how,
      why: recipe.why,
      elapsedMs: Date.now() - startedAt,
      ...(note === undefined ? {} : { note }),
    });
  mkdirSync(context.cache, { recursive: true });
  const unlock = await fetchLock(context.cache, name, () =>
    report('waiting', 'another process is fetching it', undefined),
  );
  try {
    // Whoever held the lock before us has most likely just put it there.
    const meanwhile = await findPresent(recipe, context, []);
    if (meanwhile !== undefined) {
      report('ready', `found ${meanwhile.path}`);
      return meanwhile;
    }
    for (const way of recipe.fetches) {
      const fetched = await fetchBy(way, recipe, context, tried, report);
      if (fetched !== undefined) return fetched;
    }
  } finally {
    unlock();
  }
  report('failed', 'nothing left to try');
  const attempts = tried.map((line) => `  - ${line}`).join('\n');
  const remedies = recipe
    .remedies(context)
    .map((line) => `  ${line}`)
    .join('\n');
  throw new ToolError(
    `${recipe.title} can't be had on this machine. Needed ${recipe.why}.\nTried:\n${attempts}\nMend it with one of:\n${remedies}`,
  );
}

async function findPresent(recipe: ToolRecipe, context: ToolContext, tried: string[]): Promise<Tool | undefined> {
  const named = context.env[recipe.variable];
  if (named !== undefined && named !== '') {
    // A choice made by hand is never passed over in silence.
    try {
      return await inspected(recipe, recipe.named?.(named) ?? { path: named }, context);
    } catch (error) {
      throw new ToolError(
        `${recipe.variable}=${named} is no fit ${recipe.title}: ${messageOf(error)}. Mend or unset ${recipe.variable}.`,
        { cause: error },
      );
    }
  }
  tried.push(`${recipe.variable}: not set`);
  for (const { where, launch } of recipe.places(context)) {
    if (launch === undefined) {
      tried.push(`${where}: not there`);
      continue;
    }
    try {
      return await inspected(recipe, launch, context);
    } catch (error) {
      tried.push(`${where}: ${launch.path} is not fit: ${messageOf(error)}`);
    }
  }
  return undefined;
}

async function fetchBy(
  way: Fetch,
  recipe: ToolRecipe,
  context: ToolContext,
  tried: string[],
  report: (state: ToolProgress['state'], how: string, note?: string) => void,
): Promise<Tool | undefined> {
  const obstacle = way.obstacle(context);
  if (obstacle !== undefined) {
    tried.push(`${way.title}: ${obstacle}`);
    return undefined;
  }
  dropDeadStaging(context.cache);
  const staging = newStaging(context.cache, recipe.name);
  report('fetching', way.title, way.expect);
  const ticker = setInterval(() => report('fetching', way.title, way.expect), TICK_MS);
  try {
    const tool = await inspected(recipe, await way.run(context, staging.path), context);
    report('ready', way.title);
    return tool;
  } catch (error) {
    tried.push(`${way.title}: ${messageOf(error)}`);
    return undefined;
  } finally {
    clearInterval(ticker);
    staging.remove();
  }
}

/** Runs the program once to learn its version, and remembers it for as long as the file stays the same. */
async function inspected(recipe: ToolRecipe, launch: Launch, context: ToolContext): Promise<Tool> {
  const known = remembered(context.cache, recipe.name, launch.path);
  const facts = known ?? (await recipe.inspect(launch, context));
  if (known === undefined) remember(context.cache, recipe.name, launch.path, facts);
  return { name: recipe.name, path: launch.path, args: launch.args ?? [], ...facts };
}

function findOnPath(program: string, env: NodeJS.ProcessEnv): string | undefined {
  const folders = (env['PATH'] ?? '').split(delimiter).filter((folder) => folder !== '');
  return folders.map((folder) => join(folder, program)).find(isExecutable);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
