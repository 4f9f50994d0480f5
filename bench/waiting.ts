/**
 * A thousand migrations that wait at their gates, in sync, on one worker: what that costs. A thousand pairs of servers
 * don't fit on a machine, so a few real pairs are shared: a target that replicates from the source already is adopted,
 * and each migration watches both sides on connections of its own, as it would alone.
 */
import { setTimeout as delay } from 'node:timers/promises';
import pLimit from 'p-limit';
import { startMigration, type MigrationSource } from '../client/index.ts';
import { fillRedis } from '../sandbox/app/fill.ts';
import { startApp } from '../sandbox/app/writer.ts';
import type { RunningProcess } from '../sandbox/runtime/process.ts';
import type { RedisServer } from '../sandbox/runtime/redis.ts';
import { SearchAttributes, statusQuery } from '../spec/contract.ts';
import { coresBetween, usageOf, type Usage } from './process-usage.ts';
import { atMost, figure, median, type Bench, type BenchResult } from './result.ts';
import { Stand, until, untilGateIsReady } from './stand.ts';

const MIGRATIONS = 1_000;
const QUICK_MIGRATIONS = 50;
const PAIRS = 4;
const KEYS = 2_000;
/** An idle source would make following it look cheaper than it is. */
const WRITES_PER_SECOND = 25;
/** So many are on their way to the gate at a time: each runs its fifty checks. */
const AT_ONCE = 60;
const WINDOW_MS = 120_000;
const QUICK_WINDOW_MS = 20_000;
const MOST_CORES = 0.15;
/** Histories that are read before and after. */
const SAMPLE = 25;
/** Without a heartbeat for so long, a migration would not be waited for by anybody: crashDetection's default. */
const STALE_MS = 30_000;
const ALL_WITHIN_MS = 1_800_000;

interface Pair {
  source: RedisServer;
  target: RedisServer;
}

export const run: Bench = async ({ quick, say }) => {
  const count = quick ? QUICK_MIGRATIONS : MIGRATIONS;
  const stand = await Stand.open('waiting');
  try {
    const worker = await stand.worker();
    const pairs = await openPairs(stand);
    const ids = Array.from({ length: count }, (_, i) => `bench-waiting-${String(i + 1).padStart(4, '0')}`);
    const started = performance.now();
    // The first of each pair attaches it; the others adopt it.
    const firsts = ids.slice(0, PAIRS).map((id, i) => startMigration(stand.client, { migration: file(id, pairs[i]!) }));
    for (const handle of await Promise.all(firsts)) await untilGateIsReady(handle);
    await startTheRest(stand, worker, { ids, pairs, say });
    const startSeconds = (performance.now() - started) / 1000;
    await untilAllAreReady(stand, ids, say);
    const sample = ids.filter((_, i) => i % Math.ceil(count / SAMPLE) === 0);
    const eventsBefore = await events(stand, sample);
    const seconds = (quick ? QUICK_WINDOW_MS : WINDOW_MS) / 1000;
    say(`all ${count} wait at their gates, in sync; measured for ${seconds} s`);
    const before = { worker: usageOf(worker.pid), server: usageOf(stand.temporal.pid) };
    await delay(seconds * 1000);
    const after = { worker: usageOf(worker.pid), server: usageOf(stand.temporal.pid) };
    // A worker that does nothing would be the cheapest of all: they must still wait, watched and in sync.
    await requireBeating(stand, sample);
    const eventsAfter = await events(stand, sample);
    const ready = await readyOf(stand, ids);
    if (ready.length < count) throw new Error(`${count - ready.length} of ${count} are not ready any more`);
    return results({ count, startSeconds, seconds, before, after, eventsBefore, eventsAfter });
  } finally {
    await stand.close();
  }
};

async function openPairs(stand: Stand): Promise<Pair[]> {
  const pairs: Pair[] = [];
  for (let i = 0; i < PAIRS; i++) {
    const pair = { source: await stand.redis(), target: await stand.redis() };
    const endpoint = { host: pair.source.host, port: pair.source.port };
    await fillRedis({ ...endpoint, keys: KEYS });
    const app = startApp({ endpoint, clients: 1, rate: WRITES_PER_SECOND });
    stand.endLater(app, () => app.stop());
    pairs.push(pair);
  }
  return pairs;
}

/** As a file would have it, with every default of a wait. No compare: a thousand of them would take hours, and none is under way at the gate. */
function file(id: string, { source, target }: Pair): MigrationSource {
  return {
    kind: 'redis-online',
    engine: 'replicaof',
    id,
    source: { host: source.host, port: source.port },
    target: { host: target.host, port: target.port },
    compare: { mode: 'off' },
  };
}

async function startTheRest(
  stand: Stand,
  worker: RunningProcess,
  { ids, pairs, say }: { ids: string[]; pairs: Pair[]; say: (text: string) => void },
): Promise<void> {
  for (let from = PAIRS; from < ids.length; from += AT_ONCE) {
    const some = ids.slice(from, from + AT_ONCE);
    await Promise.all(
      some.map((id, i) => startMigration(stand.client, { migration: file(id, pairs[(from + i) % PAIRS]!) })),
    );
    const atGate = from + some.length;
    await untilWaiting(stand, worker, atGate - AT_ONCE / 2);
    if (from % 200 < AT_ONCE) say(`${atGate} of ${ids.length} are started`);
  }
  await untilWaiting(stand, worker, ids.length);
}

/** @throws Error where the worker has ended, which the server would not tell */
async function untilWaiting(stand: Stand, worker: RunningProcess, count: number): Promise<void> {
  const query = `${SearchAttributes.phase.name} = 'waiting' AND ExecutionStatus = 'Running'`;
  await until(
    `${count} migrations are at their gates`,
    ALL_WITHIN_MS,
    async () => {
      if (worker.exit) throw new Error(`the worker ended (${JSON.stringify(worker.exit)}): see ${worker.logFile}`);
      return (await stand.client.workflow.count(query)).count >= count ? true : undefined;
    },
    1_000,
  );
}

async function untilAllAreReady(stand: Stand, ids: string[], say: (text: string) => void): Promise<void> {
  let left = ids;
  await until(
    'every gate is ready',
    ALL_WITHIN_MS,
    async () => {
      const ready = new Set(await readyOf(stand, left));
      left = left.filter((id) => !ready.has(id));
      if (left.length > 0) say(`${left.length} gates are not ready yet`);
      return left.length === 0 ? true : undefined;
    },
    10_000,
  );
}

/** Those whose gate could be approved now. */
async function readyOf(stand: Stand, ids: string[]): Promise<string[]> {
  const limit = pLimit(10);
  const answers = await Promise.all(
    ids.map((id) => limit(() => stand.client.workflow.getHandle(id).query(statusQuery))),
  );
  return answers.filter(({ phase, gate }) => phase === 'waiting' && gate?.ready).map(({ id }) => id);
}

async function events(stand: Stand, ids: string[]): Promise<number[]> {
  const found: number[] = [];
  for (const id of ids) found.push((await stand.client.workflow.getHandle(id).describe()).historyLength);
  return found;
}

/** @throws Error where a wait is not under way, or its last heartbeat is old */
async function requireBeating(stand: Stand, ids: string[]): Promise<void> {
  for (const id of ids) {
    const { raw } = await stand.client.workflow.getHandle(id).describe();
    const watch = raw.pendingActivities?.find(({ activityType }) => activityType?.name === 'watchSync');
    const at = Number(watch?.lastHeartbeatTime?.seconds ?? 0) * 1000;
    if (Date.now() - at > STALE_MS)
      throw new Error(`${id}: the last heartbeat of its wait was at ${new Date(at).toISOString()}`);
  }
}

interface Measured {
  count: number;
  startSeconds: number;
  seconds: number;
  before: { worker: Usage; server: Usage };
  after: { worker: Usage; server: Usage };
  eventsBefore: number[];
  eventsAfter: number[];
}

function results({ count, startSeconds, seconds, before, after, eventsBefore, eventsAfter }: Measured): BenchResult[] {
  const grown = Math.max(...eventsAfter.map((n, i) => n - eventsBefore[i]!));
  return [
    figure('migrations that wait, in sync, on one worker', count, ''),
    figure('started and brought to the gate', count / startSeconds, '/s', 1),
    atMost(`CPU of the worker over ${seconds} s`, coresBetween(before.worker, after.worker), MOST_CORES, 'cores', 3),
    figure('memory of the worker (RSS)', after.worker.rssMiB, 'MiB'),
    figure('CPU of the Temporal dev server', coresBetween(before.server, after.server), 'cores', 3),
    figure('memory of the Temporal dev server (RSS)', after.server.rssMiB, 'MiB'),
    figure('events of a history, p50', median(eventsAfter), ''),
    atMost('events that the wait added to a history, max', grown, 0, ''),
  ];
}
