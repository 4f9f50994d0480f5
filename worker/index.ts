/** The process that runs workflows and activities. */
import { existsSync } from 'node:fs';
import { hostname } from 'node:os';
import { fileURLToPath } from 'node:url';
import { loadClientConnectConfig } from '@temporalio/envconfig';
import {
  DefaultLogger,
  NativeConnection,
  Runtime,
  Worker,
  type LogLevel,
  type WorkerOptions,
} from '@temporalio/worker';
import * as activities from '../activities/index.ts';
import { closeAwsClients } from '../activities/aws/clients.ts';
import { DEFAULT_TASK_QUEUE, taskQueues } from '../spec/contract.ts';
import { AroundActivity } from './interceptors.ts';
import { writeLogLine } from './log.ts';
import { registerSearchAttributes } from './search-attributes.ts';

export interface WorkerSettings {
  /** Base name of the queues; default `cutover`. */
  taskQueue?: string;
  /** Host and port of Temporal; default: TEMPORAL_ADDRESS or the profile. */
  address?: string;
  namespace?: string;
  profile?: string;
  logLevel?: LogLevel;
  /** How many migrations may wait at a time. A wait holds a slot, and little else. */
  maxWaits?: number;
  /** How many compares and copies run at a time. */
  maxCopies?: number;
  /** How many copies are followed at a time (`engine: scan`), for as long as their migrations wait. */
  maxFollowers?: number;
  /** Called once every queue is polled. */
  onReady?: (info: { address: string; namespace: string; queues: string[] }) => void;
  /** Ends the worker: running activities get `shutdownGraceTime` to end, and are then taken over by another worker. */
  signal?: AbortSignal;
}

const SHUTDOWN_GRACE = '10s';
const MAX_WAITS = 2_000;
const MAX_COPIES = 2;
const MAX_FOLLOWERS = 8;

/**
 * Runs until SIGINT or SIGTERM, or until `signal` is aborted.
 * @throws TransportError where Temporal can't be reached; Error where the search attributes can't be registered
 */
export async function runWorker(settings: WorkerSettings = {}): Promise<void> {
  Runtime.install({ logger: new DefaultLogger(settings.logLevel ?? 'INFO', writeLogLine) });
  const config = loadClientConnectConfig(settings.profile ? { profile: settings.profile } : {});
  const namespace = settings.namespace ?? config.namespace ?? 'default';
  const connection = await NativeConnection.connect({
    ...config.connectionOptions,
    ...(settings.address ? { address: settings.address } : {}),
  });
  try {
    await registerSearchAttributes(connection, namespace);
    const base = settings.taskQueue ?? process.env['CUTOVER_TASK_QUEUE'] ?? DEFAULT_TASK_QUEUE;
    const queues = taskQueues(base);
    const shared: Omit<WorkerOptions, 'taskQueue'> = {
      connection,
      namespace,
      identity: `cutover@${hostname()}#${process.pid}`,
      activities,
      interceptors: { activity: [() => ({ inbound: new AroundActivity() })] },
      shutdownGraceTime: SHUTDOWN_GRACE,
    };
    const waits = settings.maxWaits ?? MAX_WAITS;
    const workers = await Promise.all([
      // A beat is how an activity in the critical section hears of a cancel, so they are not held back for long here.
      Worker.create({ ...shared, ...workflowSource(), taskQueue: queues.main, maxHeartbeatThrottleInterval: '1s' }),
      Worker.create({
        ...shared,
        taskQueue: queues.wait,
        maxConcurrentActivityTaskExecutions: waits,
        maxHeartbeatThrottleInterval: '10s',
      }),
      Worker.create({
        ...shared,
        taskQueue: queues.copy,
        maxConcurrentActivityTaskExecutions: settings.maxCopies ?? MAX_COPIES,
        maxHeartbeatThrottleInterval: '2s',
      }),
      Worker.create({
        ...shared,
        taskQueue: queues.follow,
        maxConcurrentActivityTaskExecutions: settings.maxFollowers ?? MAX_FOLLOWERS,
        maxHeartbeatThrottleInterval: '2s',
      }),
    ]);
    const stop = () => workers.forEach((worker) => worker.getState() === 'RUNNING' && worker.shutdown());
    settings.signal?.addEventListener('abort', stop);
    const runs = workers.map((worker) => worker.run());
    settings.onReady?.({
      address: settings.address ?? config.connectionOptions.address ?? 'localhost:7233',
      namespace,
      queues: Object.values(queues),
    });
    if (settings.signal?.aborted) stop();
    // Where one of them fails, a process that polls only some of its queues would look alive and do nothing.
    await Promise.all(runs).catch((error: unknown) => {
      stop();
      throw error;
    });
  } finally {
    closeAwsClients();
    await connection.close();
  }
}

/** The bundle that was built ahead, or the sources where there is none (tests, `tsx`). */
function workflowSource(): Pick<WorkerOptions, 'workflowBundle' | 'workflowsPath'> {
  const bundle = fileURLToPath(new URL('../workflows/bundle.js', import.meta.url));
  if (existsSync(bundle)) return { workflowBundle: { codePath: bundle } };
  const source = fileURLToPath(new URL('../workflows/index.ts', import.meta.url));
  return { workflowsPath: existsSync(source) ? source : source.replace(/\.ts$/, '.js') };
}
