/**
 * The write pause of `engine: replicaof`, over many cutovers under load: as the migration measures it, and as the
 * application sees it, which the file's webhook sends over. Every acknowledged write is looked for afterwards, one by
 * one. A plain script, which does the least that a cutover needs, runs in turn with it.
 */
import { startMigration, type MigrationStatus } from '../client/index.ts';
import type { Acknowledged } from '../sandbox/app/acknowledged.ts';
import { startAppProcess, type AppProcess } from '../sandbox/app/app-process.ts';
import { fillRedis } from '../sandbox/app/fill.ts';
import type { AppStats } from '../sandbox/app/meter.ts';
import { verifyAcknowledged, writesTakenBy } from '../sandbox/app/verify.ts';
import type { RedisServer } from '../sandbox/runtime/redis.ts';
import { attachPlainly, cutOverPlainly, type PlainCutover } from './plain-cutover.ts';
import { atMost, figure, median, type Bench, type BenchResult } from './result.ts';
import { Stand, until, untilGateIsReady } from './stand.ts';

const ROUNDS = 30;
const QUICK_ROUNDS = 3;
const KEYS = 20_000;
const LEAST_WRITES_PER_SECOND = 2_000;
/** Above what must be reached, as a client that is held up for a moment falls behind. */
const ASKED_WRITES_PER_SECOND = 2_500;
const WRITES_AFTER = 500;
const MOST_PAUSE_MS = 50;

interface Round<T> {
  measured: T;
  /** Acknowledged in the last second before the pause. */
  writesPerSecond: number;
  /** From the last acknowledgement of the source to the first of the target, over all clients, ms. */
  appPauseMs: number;
  /** The longest that a single client waited, ms. */
  appLongestWaitMs: number;
  acknowledged: number;
  lost: number;
}

interface Pair {
  source: RedisServer;
  target: RedisServer;
  app: AppProcess;
}

export const run: Bench = async ({ quick, say }) => {
  const rounds = quick ? QUICK_ROUNDS : ROUNDS;
  const stand = await Stand.open('cutover');
  try {
    await stand.worker();
    const [migrations, scripts]: [Round<MigrationStatus>[], Round<PlainCutover>[]] = [[], []];
    for (let number = 1; number <= rounds; number++) {
      const script = await inRound(stand, byScript);
      const migration = await inRound(stand, (pair) => byMigration(stand, pair, `bench-cutover-${number}`));
      scripts.push(script);
      migrations.push(migration);
      say(
        `cutover ${number} of ${rounds}: ${pauseOf(migration).toFixed(1)} ms (application ${migration.appPauseMs.toFixed(1)}), ` +
          `script ${script.measured.switchedMs.toFixed(1)} ms (application ${script.appPauseMs.toFixed(1)}), lost ${migration.lost}`,
      );
    }
    return results(migrations, scripts);
  } finally {
    await stand.close();
  }
};

/** A pair of servers and an application of their own for each cutover: one that was promoted is no fresh target. */
async function inRound<T>(stand: Stand, cutOver: (pair: Pair) => Promise<T>): Promise<Round<T>> {
  const ends: (() => Promise<unknown>)[] = [];
  try {
    const source = await stand.redis();
    const target = await stand.redis();
    ends.push(
      () => source.stop(),
      () => target.stop(),
    );
    await fillRedis({ host: source.host, port: source.port, keys: KEYS });
    const app = await startAppProcess({
      dir: stand.freshDir('app'),
      endpoint: { host: source.host, port: source.port },
      rate: ASKED_WRITES_PER_SECOND,
    });
    ends.unshift(() => app.kill());
    const measured = await cutOver({ source, target, app });
    return { measured, ...(await seenByApplication(app, target)) };
  } finally {
    for (const end of ends) await end();
  }
}

/** @throws Error where the machine has no room for so many writes */
async function underLoad(app: AppProcess): Promise<void> {
  await until(`the application writes ${LEAST_WRITES_PER_SECOND} times a second`, 60_000, async () =>
    (await app.stats()).acksPerSecond >= LEAST_WRITES_PER_SECOND ? true : undefined,
  );
}

async function byScript({ source, target, app }: Pair): Promise<PlainCutover> {
  await attachPlainly(source, target);
  await underLoad(app);
  return cutOverPlainly(source, target, () => app.switchTo({ host: target.host, port: target.port }));
}

async function byMigration(stand: Stand, { source, target, app }: Pair, id: string): Promise<MigrationStatus> {
  const handle = await startMigration(stand.client, {
    migration: {
      kind: 'redis-online',
      engine: 'replicaof',
      id,
      source: { host: source.host, port: source.port },
      target: { host: target.host, port: target.port },
      // How soon it reaches its gate is not what is measured.
      inSync: { interval: '100ms', readings: 2 },
      switch: [
        {
          type: 'webhook',
          url: `${app.url}/switch`,
          body: { host: '${target.host}', port: '${target.port}' },
          timeout: '10s',
        },
      ],
    },
  });
  await untilGateIsReady(handle);
  await underLoad(app);
  await handle.approve({ by: 'bench' });
  const status = await handle.result();
  const outcomes = status.cutovers.map(({ outcome, reason }) => `${outcome} ${reason ?? ''}`.trim());
  // One that was undone and came through at a second try would hide its first pause.
  if (status.phase !== 'done' || outcomes.join() !== 'switched') {
    throw new Error(`${id} ended ${status.phase}, its cutovers: ${outcomes.join('; ')}`);
  }
  return status;
}

async function seenByApplication(app: AppProcess, target: RedisServer): Promise<Omit<Round<unknown>, 'measured'>> {
  const stats = await until('the application writes to the target', 60_000, async () => {
    const now = await app.stats();
    return (now.endpoints[1]?.acknowledged ?? 0) >= WRITES_AFTER ? now : undefined;
  });
  const acks = await app.stop();
  const found = await verifyAcknowledged({ host: target.host, port: target.port }, acks);
  if (found.unexplained > 0) throw new Error(`writes that nothing explains: ${found.examples.join('; ')}`);
  const { writePauseMs, longestSwitchGapMs } = stats;
  if (writePauseMs === undefined || longestSwitchGapMs === undefined) throw new Error('the application saw no switch');
  return {
    writesPerSecond: rateBefore(acks, stats),
    appPauseMs: writePauseMs,
    appLongestWaitMs: longestSwitchGapMs,
    acknowledged: found.acknowledged,
    lost: found.lost,
  };
}

/** By the source, in the second before its last acknowledgement. */
function rateBefore(acks: Acknowledged, { endpoints: [source] }: AppStats): number {
  return writesTakenBy(acks, source!, source!.lastAckAt! - 1000);
}

/** @throws Error where the migration measured none: no figure must not become a good one */
function pauseOf({ measured }: Round<MigrationStatus>): number {
  const pause = measured.cutovers[0]?.writePauseMs;
  if (pause === undefined) throw new Error(`${measured.id} measured no write pause`);
  return pause;
}

function results(migrations: Round<MigrationStatus>[], scripts: Round<PlainCutover>[]): BenchResult[] {
  const pauses = migrations.map(pauseOf);
  const seen = migrations.map(({ appPauseMs }) => appPauseMs);
  const all = [...migrations, ...scripts];
  const sum = (values: number[]): number => values.reduce((total, value) => total + value, 0);
  const switched = median(scripts.map(({ measured }) => measured.switchedMs));
  const phases = migrations[0]!.measured.cutovers[0]!.phases.map(({ name }) => {
    const times = migrations.flatMap(({ measured }) => measured.cutovers[0]!.phases.filter((p) => p.name === name));
    return figure(`of it: ${name}, p50`, median(times.map(({ ms }) => ms)), 'ms', 1);
  });
  return [
    figure('cutovers by a migration, and as many by the script', migrations.length, ''),
    figure(
      'writes a second before the cutover, the least of all',
      Math.min(...all.map((r) => r.writesPerSecond)),
      '/s',
    ),
    atMost(
      'acknowledged writes lost, in all',
      sum(migrations.map(({ lost }) => lost)),
      0,
      `of ${sum(migrations.map(({ acknowledged }) => acknowledged))}`,
    ),
    atMost('write pause as the migration measures it, p50', median(pauses), MOST_PAUSE_MS, 'ms', 1),
    figure('write pause as the migration measures it, max', Math.max(...pauses), 'ms', 1),
    ...phases,
    atMost('write pause as the application sees it, p50', median(seen), MOST_PAUSE_MS, 'ms', 1),
    figure('write pause as the application sees it, max', Math.max(...seen), 'ms', 1),
    figure('longest wait of a single client, max', Math.max(...migrations.map((r) => r.appLongestWaitMs)), 'ms', 1),
    figure('plain script, fence to promoted, p50', median(scripts.map(({ measured }) => measured.promotedMs)), 'ms', 1),
    figure('plain script, fence to switched, p50', switched, 'ms', 1),
    figure('plain script, as the application sees it, p50', median(scripts.map((r) => r.appPauseMs)), 'ms', 1),
    figure('plain script: acknowledged writes lost, in all', sum(scripts.map(({ lost }) => lost)), ''),
    figure('migration ÷ plain script, fence to switched, p50', median(pauses) / switched, '×', 2),
  ];
}
