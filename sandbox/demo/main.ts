/** `npm run demo [-- redis | postgres] [options]`: one of them, or one after the other. */
import { Argument, Command, InvalidArgumentError, Option } from 'commander';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import pc from 'picocolors';
import type { Engine } from './demo-file.ts';
import { Endings } from './endings.ts';
import { postgresDemo } from './postgres.ts';
import { redisDemo, type DemoResult } from './redis.ts';
import { endCommands, heading, say } from './stage.ts';

interface DemoOptions {
  engine: Engine;
  keys: number;
  rows: number;
  rate?: number;
  keep?: boolean;
}

type Place = { dir: string; endings: Endings };

const DEMOS = {
  redis: (options: DemoOptions, place: Place): Promise<DemoResult> =>
    redisDemo({ ...options, rate: options.rate ?? 2_500, ...place }),
  postgres: ({ rows, rate = 100 }: DemoOptions, place: Place): Promise<DemoResult> =>
    postgresDemo({ rows, rate, ...place }),
} as const;
type DemoName = keyof typeof DEMOS;
const NAMES = Object.keys(DEMOS) as DemoName[];

const INTERRUPTED = 130;
const ONE_CTRL_C_MS = 1_000;

const endings = new Endings();
/** Set where something went wrong: the logs tell. */
let keepDir: string | undefined;
let kept = false;
let endingSince: number | undefined;

/** A second Ctrl-C does not wait: every program hangs on a leash, and ends with this process. */
function onSignal(): void {
  if (endingSince !== undefined) {
    // One Ctrl-C under `npm run` comes twice: from the terminal, and passed on by npm.
    if (performance.now() - endingSince > ONE_CTRL_C_MS) process.exit(INTERRUPTED);
    return;
  }
  endingSince = performance.now();
  process.stdout.write('\n  ending everything …\n');
  // With --keep, Ctrl-C is the ordinary end.
  const code = kept ? process.exitCode : INTERRUPTED;
  void endAll().then(() => process.exit(code));
}

async function endAll(): Promise<void> {
  await endCommands();
  for (const failed of await endings.run()) process.stderr.write(`could not be ended: ${failed}\n`);
  if (keepDir !== undefined) say(`logs are kept in ${keepDir}`);
}

async function show(names: DemoName[], options: DemoOptions): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), 'cutover-demo-'));
  endings.add(dir, async () => {
    if (keepDir === undefined) await rm(dir, { recursive: true, force: true });
  });
  try {
    const lookAround: string[] = [];
    for (const name of names) lookAround.push(await showOne(name, options, join(dir, name)));
    if (options.keep) {
      heading('All of it is left up. Ctrl-C ends it');
      for (const text of lookAround) say(`${text}\n`);
      // The sandbox's processes keep this one alive; a signal ends it.
      kept = true;
      return;
    }
  } catch (error) {
    if (endingSince !== undefined) return; // Ended by a signal: what failed was ended by us.
    keepDir = dir;
    process.exitCode = 1;
    process.stderr.write(`${pc.red('error:')} ${error instanceof Error ? error.message : String(error)}\n`);
  }
  await endAll();
}

/** Its servers are ended before the next one starts, unless they are to be kept. @returns where to look around */
async function showOne(name: DemoName, options: DemoOptions, dir: string): Promise<string> {
  const own = new Endings();
  endings.add(name, async () => {
    const failed = await own.run();
    if (failed.length > 0) throw new Error(failed.join('; '));
  });
  const { failures, lookAround } = await DEMOS[name](options, { dir, endings: own });
  if (failures.length > 0) {
    keepDir = dirname(dir);
    process.exitCode = 1;
    for (const failure of failures) process.stderr.write(`${pc.red('not proven:')} ${failure}\n`);
  }
  if (!options.keep) for (const failed of await own.run()) process.stderr.write(`could not be ended: ${failed}\n`);
  return lookAround;
}

function atLeast(lowest: number) {
  return (text: string): number => {
    const value = Number(text.replaceAll('_', ''));
    if (!Number.isInteger(value) || value < lowest)
      throw new InvalidArgumentError(`expected a whole number, at least ${lowest}`);
    return value;
  };
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, onSignal);
// `npm run demo | head` closes our output: nobody looks on any more.
for (const stream of [process.stdout, process.stderr]) stream.on('error', onSignal);

await new Command('npm run demo --')
  .description('Shows a whole migration in a sandbox on this machine, and proves that it lost nothing.')
  .addArgument(new Argument('[demo]', 'which one; all there are, if none is named').choices(NAMES))
  .addOption(
    new Option('--engine <engine>', 'redis: how the data moves')
      .choices(['elasticache', 'replicaof'])
      .default('elasticache'),
  )
  .addOption(new Option('--keys <count>', 'redis: keys in the source').argParser(atLeast(1)).default(200_000))
  .addOption(new Option('--rows <count>', 'postgres: rows in the source').argParser(atLeast(2_000)).default(1_000_000))
  .addOption(
    new Option(
      '--rate <writes>',
      'writes a second of the application (default: redis 2,500, postgres 100 transactions)',
    ).argParser(atLeast(1)),
  )
  .option('--keep', 'leave everything up until Ctrl-C')
  .action((name: DemoName | undefined, options: DemoOptions) => show(name === undefined ? NAMES : [name], options))
  .parseAsync();
