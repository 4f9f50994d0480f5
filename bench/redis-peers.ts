/**
 * Programs that people use for the same ends: RedisShake copies, RedisFullCheck compares (facts/performance.md). Neither can be
 * installed by a package manager, so they are run where they are found: named by REDIS_SHAKE and REDIS_FULL_CHECK, or
 * `redis-shake` and `redis-full-check` on PATH. Both are built from their repositories by `go build`.
 */
import { execFile } from 'node:child_process';
import { accessSync, constants, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { freePort } from '../sandbox/runtime/ports.ts';
import type { RedisServer } from '../sandbox/runtime/redis.ts';

const TIMEOUT_MS = 600_000;

const PROGRAMS = { REDIS_SHAKE: 'redis-shake', REDIS_FULL_CHECK: 'redis-full-check' };

/** @returns its path; undefined, and says so, where it is nowhere @throws Error where the environment names none */
export function peer(variable: keyof typeof PROGRAMS, say: (text: string) => void): string | undefined {
  const program = PROGRAMS[variable];
  const named = process.env[variable];
  if (named !== undefined && !runs(named)) throw new Error(`bench: ${variable}=${named} is no program`);
  const found =
    named ??
    (process.env['PATH'] ?? '')
      .split(delimiter)
      .map((dir) => join(dir, program))
      .find(runs);
  if (!found) say(`${program} is neither on PATH nor named by ${variable}: left out`);
  return found;
}

function runs(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Runs in a folder of its own until it ends. @throws with what it said, where it ends badly */
async function toItsEnd(program: string, args: string[], dir: string): Promise<void> {
  mkdirSync(dir, { recursive: true });
  await promisify(execFile)(program, args, { cwd: dir, timeout: TIMEOUT_MS, maxBuffer: 64 * 1024 * 1024 });
}

/** Its reader by SCAN, without notifications, in pages like the loop's (its default is 1 key a page). */
export async function shake(program: string, dir: string, source: RedisServer, target: RedisServer): Promise<void> {
  mkdirSync(dir, { recursive: true });
  const settings = [
    '[scan_reader]',
    `address = "${source.host}:${source.port}"`,
    'scan = true',
    'ksn = false',
    'count = 1000',
    '[redis_writer]',
    `address = "${target.host}:${target.port}"`,
    '[advanced]',
    'rdb_restore_command_behavior = "rewrite"',
    'log_level = "warn"',
  ];
  writeFileSync(join(dir, 'shake.toml'), `${settings.join('\n')}\n`);
  await toItsEnd(program, ['shake.toml'], dir);
}

/** Every value, once, without its limit. @throws where it finds a difference: both sides are equal */
export async function fullCheck(program: string, dir: string, source: RedisServer, target: RedisServer): Promise<void> {
  const at = ({ host, port }: RedisServer) => `${host}:${port}`;
  const files = ['-d', 'result.db', '--result=differences', '--log=log', '--loglevel=warn'];
  const how = ['-m', '1', '--comparetimes=1', '--qps=1000000', '--batchcount=1000'];
  const port = await freePort();
  await toItsEnd(program, ['-s', at(source), '-t', at(target), ...how, ...files, `--systemprofile=${port}`], dir);
  const differences = join(dir, 'differences');
  const found = existsSync(differences) ? readFileSync(differences, 'utf8').trim() : '';
  if (found !== '') throw new Error(`redis-full-check says that equal servers differ:\n${found.slice(0, 2000)}`);
}
