/** The most memory of a worker that compares 2,000,000 keys in a real migration: everything else of a worker included. */
import { startMigration } from '../client/index.ts';
import { fillRedis } from '../sandbox/app/fill.ts';
import type { CompareResult } from '../activities/redis/compare/types.ts';
import { usageOf } from './process-usage.ts';
import { atMost, figure, type Bench } from './result.ts';
import { Stand, untilGateIsReady } from './stand.ts';

const KEYS = 2_000_000;
const QUICK_KEYS = 100_000;
const MOST_MIB = 300;
/** Two in a hundred keys expire within half a minute, and some of them before they are compared. */
const LEAST_COMPARED = 0.95;

export const run: Bench = async ({ quick, say }) => {
  const keys = quick ? QUICK_KEYS : KEYS;
  const stand = await Stand.open('worker-memory');
  try {
    const worker = await stand.worker();
    const idle = usageOf(worker.pid);
    const [source, target] = [await stand.redis(), await stand.redis()];
    say(`filling the source with ${keys} keys`);
    await fillRedis({ host: source.host, port: source.port, keys });
    const handle = await startMigration(stand.client, {
      migration: {
        kind: 'redis-online',
        engine: 'replicaof',
        id: 'bench-worker-memory',
        source: { host: source.host, port: source.port },
        target: { host: target.host, port: target.port },
        inSync: { interval: '100ms', readings: 2 },
      },
    });
    const status = await untilGateIsReady(handle);
    const compared = status.report['compare'] as CompareResult | undefined;
    if (!compared?.equal || compared.keysCompared < keys * LEAST_COMPARED) {
      throw new Error(`the compare is wrong: ${JSON.stringify(compared)} of ${keys} equal keys`);
    }
    const { peakRssMiB } = usageOf(worker.pid);
    return [
      figure('keys compared in a migration, both directions, with values', compared.keysCompared, 'keys'),
      figure('speed of that compare', (compared.keysCompared * 1000) / compared.durationMs, 'keys/s'),
      figure('memory of the worker before (RSS)', idle.rssMiB, 'MiB'),
      atMost('memory of the worker, the most of its life (RSS)', peakRssMiB, MOST_MIB, 'MiB'),
    ];
  } finally {
    await stand.close();
  }
};
