/** The demo of `redis-online`: one command shows a whole migration, and proves that it lost nothing. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import pc from 'picocolors';
import { startAppProcess, type AppProcess } from '../app/app-process.ts';
import { fillRedis, type Filled } from '../app/fill.ts';
import type { Sandbox } from '../assemble.ts';
import { nodeProgram } from '../node-program.ts';
import { writeDemoFile, type Engine } from './demo-file.ts';
import type { Endings } from './endings.ts';
import { untilGateIsReady, type RunCutover } from './gate.ts';
import { proofTable, prove, type Address, type ProofInput } from './proof.ts';
import { raiseSandbox, startWorker } from './servers.ts';
import { cutover, demoEnvironment, heading, say } from './stage.ts';

export interface RedisDemoOptions {
  engine: Engine;
  keys: number;
  /** Writes a second. */
  rate: number;
  /** For everything it writes to disk. */
  dir: string;
  endings: Endings;
}

export interface DemoResult {
  /** In words; empty where everything was proven. */
  failures: string[];
  lookAround: string;
}

const WRITES_AFTER = 2_000;
const LIMIT_MS = 120_000;

/** @throws Error where a part of it does not come up, or a command ends otherwise than it should */
export async function redisDemo(options: RedisDemoOptions): Promise<DemoResult> {
  const { engine, dir } = options;
  mkdirSync(dir, { recursive: true });
  heading(
    `Redis → ${engine === 'elasticache' ? 'ElastiCache' : 'another Redis'}, online, with an application writing all the time`,
  );
  const { sandbox, target } = await raiseSandbox(options);
  const source = { host: sandbox.source!.host, port: sandbox.source!.port };

  heading(`Fill the source with ${options.keys.toLocaleString('en-US')} keys: all types, TTLs, several databases`);
  const filled = await fillRedis({ ...source, keys: options.keys });
  say(filledText(filled));

  heading('Start an application that keeps writing, and notes every acknowledgement');
  const app = await startAppProcess({ dir: join(dir, 'app'), endpoint: source, rate: options.rate });
  options.endings.add('application', () => app.kill());
  say(
    `8 clients, ${options.rate.toLocaleString('en-US')} writes a second (SET, INCR, HSET, LPUSH, XADD, MULTI, EVAL); told where to write by ${app.url}/switch`,
  );

  heading('Start a worker');
  const env = demoEnvironment(sandbox.env);
  await startWorker(env, options);

  heading('Start the migration');
  const path = join(dir, `redis-${engine}.yaml`);
  const id = writeDemoFile({
    engine,
    path,
    source,
    target: engine === 'replicaof' ? target : undefined,
    switchUrl: `${app.url}/switch`,
  });
  const run: RunCutover = (args, more = {}) => cutover(args, { env, cwd: dir, ...more });
  const from = Date.now();
  await run(['start', path]);
  const link = `${sandbox.temporal!.uiUrl}/namespaces/${sandbox.temporal!.namespace}/workflows/${id}`;
  say(`in Temporal's UI: ${pc.underline(link)}`);

  heading('Watch it, until it is in sync and waits at its gate');
  await run(['watch', id], { expect: [3] });
  await untilGateIsReady(id, run, LIMIT_MS);
  await untilWritten(app, 'writes before the cutover', ({ acknowledged }) => acknowledged >= WRITES_AFTER);

  heading('Approve the cutover: fence, drain, promote, switch');
  await run(['approve', id, '--reason', 'the demo is in sync']);
  await run(['watch', id]);
  const to = Date.now();

  heading('Prove it');
  await untilWritten(app, 'writes on the target', ({ endpoints }) => (endpoints[1]?.acknowledged ?? 0) >= WRITES_AFTER);
  const stats = await app.stats();
  const acks = await app.stop();
  say(`looking for every acknowledged write on the target ${target.host}:${target.port}, one by one`);
  const report = JSON.parse((await run(['report', id, '--json'], { show: false })).stdout) as Report;
  const keysCompared = report.details?.compare?.keysCompared;
  const input: ProofInput = {
    source,
    target,
    filled,
    acks,
    stats,
    migration: { from, to },
    report: { durationMs: report.durationMs, ...pick({ writePauseMs: report.writePauseMs, keysCompared }) },
  };
  const proof = await prove(input);
  process.stdout.write(`${proofTable(input, proof)}\n`);
  return { failures: proof.failures, lookAround: lookAround({ sandbox, id, link, source, target, dir }) };
}

async function untilWritten(
  app: AppProcess,
  what: string,
  enough: (stats: Awaited<ReturnType<AppProcess['stats']>>) => boolean,
): Promise<void> {
  const deadline = Date.now() + LIMIT_MS;
  while (!enough(await app.stats())) {
    if (Date.now() > deadline) throw new Error(`${what}: not ${WRITES_AFTER} within ${LIMIT_MS / 1000} s`);
    await delay(100);
  }
}

interface Report {
  durationMs: number;
  writePauseMs?: number;
  details?: { compare?: { keysCompared?: number } };
}

/** Without the fields that are undefined. */
function pick<T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as never;
}

function filledText({ keys, byDatabase, byType, withTtl, ms }: Filled): string {
  const list = (counts: Record<string, number>): string =>
    Object.entries(counts)
      .map(([name, count]) => `${name} ${count.toLocaleString('en-US')}`)
      .join(', ');
  return [
    `${keys.toLocaleString('en-US')} keys in ${(ms / 1000).toFixed(1)} s, ${withTtl.toLocaleString('en-US')} of them with a TTL`,
    `by database: ${list(byDatabase)}`,
    `by type: ${list(byType)}`,
  ].join('\n');
}

function lookAround(at: {
  sandbox: Sandbox;
  id: string;
  link: string;
  source: Address;
  target: Address;
  dir: string;
}): string {
  const { sandbox, id, link, source, target, dir } = at;
  const program = nodeProgram('client/cli/main');
  return [
    `Temporal's UI         ${link}`,
    `source, fenced        redis-cli -p ${source.port}`,
    `target                redis-cli -p ${target.port}`,
    `files and logs        ${dir}`,
    '',
    'in another terminal:',
    ...Object.entries(sandbox.env).map(([name, value]) => `  export ${name}=${value}`),
    `  alias cutover='${[program.command, ...program.args].join(' ')}'`,
    `  cutover status ${id}`,
    `  cutover report ${id}`,
  ].join('\n');
}
