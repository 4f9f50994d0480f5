/** Instances of an application behind a file that names its server, the hook that changes that file, and their record. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Redis } from 'ioredis';
import { jsonBody, serveControl } from '../sandbox/app/control-server.ts';
import type { OfflineAppSettings } from './redis-offline-app.ts';
import { until, type Stage } from './stage/stage.ts';

const APP = fileURLToPath(new URL('redis-offline-app.ts', import.meta.url));

export interface Instances {
  /** For `switch`: answers once every instance that runs is there, and has nothing under way elsewhere. */
  hook: Record<string, unknown>;
  start(name: string): Promise<void>;
  kill(name: string): Promise<void>;
  end(): Promise<void>;
  seen(): string[][];
}

export async function openInstances(
  stage: Stage,
  options: { id: string; port: number; rate: number },
): Promise<Instances> {
  const { id, rate } = options;
  const endpoint = join(stage.dir, `${id}-endpoint`);
  const name = (port: number) => {
    // As a whole or not at all: it is read at any moment.
    writeFileSync(`${endpoint}.new`, String(port));
    renameSync(`${endpoint}.new`, endpoint);
  };
  name(options.port);
  const running = new Map<string, ChildProcess>();
  const logs = new Map<string, string>();
  const isAt = (instance: string, pid: number | undefined, port: number) =>
    linesOf(logs.get(instance)!).some(([what, who, to]) => what === 'at' && who === `${pid}` && to === `${port}`);
  const control = await serveControl(async (what, request) => {
    const { port } = (await jsonBody(request)) as { port: string };
    if (what !== 'POST /switch') return { status: 404, body: {} };
    name(Number(port));
    const all = async () => [...running].every(([instance, { pid }]) => isAt(instance, pid, Number(port)));
    await until(`every instance is at ${port}`, all, 30_000);
    return { status: 200, body: { port } };
  });
  const kill = async (instance: string) => {
    const process = running.get(instance);
    running.delete(instance);
    if (!process || process.exitCode !== null || process.signalCode !== null) return;
    process.kill('SIGKILL');
    await once(process, 'exit');
  };
  const end = async () => {
    await Promise.all([...running.keys()].map(kill));
    await control.close();
  };
  stage.endLater(running, end);
  return {
    hook: {
      type: 'webhook',
      url: `${control.url}/switch`,
      body: { port: '${target.port}' },
      timeout: '60s',
    },
    start: async (instance) => {
      const log = join(stage.dir, `${id}-${instance}.log`);
      logs.set(instance, log);
      const settings: OfflineAppSettings = { instance, endpoint, log, clients: 4, rate };
      const process = spawn(globalThis.process.execPath, ['--import', 'tsx', APP, JSON.stringify(settings)], {
        stdio: ['ignore', 'inherit', 'inherit'],
      });
      running.set(instance, process);
      await until(`instance ${instance} is connected`, async () => {
        if (process.exitCode !== null) throw new Error(`instance ${instance} ended with ${process.exitCode}`);
        return linesOf(log).some(([what, pid]) => what === 'at' && pid === `${process.pid}`);
      });
    },
    kill,
    end,
    seen: () => [...logs.values()].flatMap(linesOf),
  };
}

const linesOf = (log: string): string[][] =>
  existsSync(log)
    ? readFileSync(log, 'utf8')
        .split('\n')
        .filter(Boolean)
        .map((line) => line.split(' '))
    : [];

export interface OfflineVerdict {
  acknowledged: number;
  /** Sent at or after a time, answered or not. */
  triedSince(ms: number, port: number): number;
  /** Acknowledged writes whose effect is nowhere on the server. */
  lost: number;
  examples: string[];
  /** Read by the application, older than what it had been acknowledged; or so at the end. */
  stale: string[];
  /** There more often than sent. */
  doubled: string[];
}

/** Holds the record of ended instances against a server. */
export async function offlineVerdict(seen: string[][], redis: Redis): Promise<OfflineVerdict> {
  const keys = new Map<string, { kind: string; acked: number[]; tried: number }>();
  const tries: { at: number; port: number }[] = [];
  const stale = seen.flatMap(([what, ...rest]) => (what === 'stale' ? [rest.join(' ')] : []));
  let acknowledged = 0;
  for (const [what, kind = '', key = '', seq, port, at] of seen) {
    if (what !== 'try' && what !== 'ack') continue;
    const known = keys.get(key) ?? { kind, acked: [], tried: 0 };
    keys.set(key, known);
    if (what === 'try') {
      known.tried++;
      tries.push({ at: Number(at), port: Number(port) });
    } else {
      known.acked.push(Number(seq));
      acknowledged++;
    }
  }
  const doubled: string[] = [];
  const examples: string[] = [];
  let lost = 0;
  const miss = (count: number, what: string) => {
    if (count <= 0) return;
    lost += count;
    if (examples.length < 10) examples.push(what);
  };
  for (const [key, { kind, acked, tried }] of keys) {
    if (kind === 'push') {
      const items = (await redis.lrange(key, 0, -1)).map(Number);
      const there = new Set(items);
      if (there.size !== items.length) doubled.push(`${key}: ${items.length - there.size} twice`);
      miss(acked.filter((seq) => !there.has(seq)).length, `${key}: of ${acked.length} entries`);
      continue;
    }
    const value = Number(await redis.get(key));
    if (kind === 'incr') {
      miss(acked.length - value, `${key}: ${value}, acknowledged ${acked.length}`);
      if (value > tried) doubled.push(`${key}: ${value}, tried ${tried}`);
    } else if (value < Math.max(0, ...acked)) {
      if (kind === 'set') stale.push(`${key}: ${value} at the end`);
      miss(acked.filter((seq) => seq > value).length, `${key}: ${value}, acknowledged ${acked.at(-1)}`);
    }
  }
  const triedSince = (ms: number, port: number) => tries.filter((one) => one.at >= ms && one.port === port).length;
  return { acknowledged, triedSince, lost, examples, stale, doubled };
}
