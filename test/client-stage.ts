/** A real Temporal server and a worker with the staged migration, for the tests of the client and the command line. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Context } from '@temporalio/activity';
import { ApplicationFailure } from '@temporalio/common';
import { DefaultLogger, NativeConnection, Runtime, Worker, bundleWorkflowCode } from '@temporalio/worker';
import { startTemporal, type TemporalServer } from '../sandbox/runtime/temporal.ts';
import type { PreflightReport } from '../spec/preflight.ts';
import type { Progress } from '../spec/status.ts';
import type { GateReading } from '../workflows/gate.ts';
import type { StageActivities } from './client-stage-workflows.ts';

/** What one migration's activities do; a test changes it while they run. */
export class Scene {
  /** `attach` beats this until `attached`. */
  progress: Progress | undefined;
  attached = true;
  /** Thrown by `attach` as long as it is set; final: no retry mends it. */
  attachFails: { message: string; final: boolean } | undefined;
  reading: GateReading = { ready: true };
  finishFails: string | undefined;
  report: PreflightReport | undefined;
}

export interface Stage {
  address: string;
  server: TemporalServer;
  scene(id: string): Scene;
  /** Runs a worker on `taskQueue`. @returns what ends it */
  worker(taskQueue: string): Promise<() => Promise<void>>;
  stop(): Promise<void>;
}

const LOOK_AGAIN_MS = 50;

export async function openStage(): Promise<Stage> {
  Runtime.install({ logger: new DefaultLogger('ERROR') });
  const dir = mkdtempSync(join(tmpdir(), 'cutover-client-'));
  const server = await startTemporal({
    dir,
    searchAttributes: {
      CutoverKind: 'Keyword',
      CutoverPhase: 'Keyword',
      CutoverStep: 'Keyword',
      CutoverNeedsOperator: 'Bool',
    },
  });
  const workflowsPath = fileURLToPath(new URL('./client-stage-workflows.ts', import.meta.url));
  const quiet = new DefaultLogger('ERROR');
  const workflowBundle = await bundleWorkflowCode({ workflowsPath, logger: quiet });
  const connection = await NativeConnection.connect({ address: server.address });
  const scenes = new Map<string, Scene>();
  const scene = (id: string) => scenes.get(id) ?? scenes.set(id, new Scene()).get(id)!;
  const stops = new Set<() => Promise<void>>();

  const worker = async (taskQueue: string) => {
    const running = await Worker.create({
      connection,
      taskQueue,
      workflowBundle,
      activities: activities(scene) satisfies StageActivities,
      maxHeartbeatThrottleInterval: '100ms',
      defaultHeartbeatThrottleInterval: '100ms',
    });
    const run = running.run();
    const stop = async () => {
      if (!stops.delete(stop)) return;
      running.shutdown();
      await run;
    };
    stops.add(stop);
    return stop;
  };
  const stop = async () => {
    await Promise.all([...stops].map((end) => end()));
    await connection.close();
    await server.stop();
    rmSync(dir, { recursive: true, force: true });
  };
  return { address: server.address, server, scene, worker, stop };
}

function activities(scene: (id: string) => Scene) {
  const mine = () => scene(Context.current().info.workflowExecution!.workflowId.replace(/^preflight-/, ''));
  return {
    async attach() {
      const { attachFails } = mine();
      if (attachFails) throw failure(attachFails.message, attachFails.final);
      while (!mine().attached) {
        Context.current().heartbeat({ progress: mine().progress });
        await Context.current().sleep(LOOK_AGAIN_MS);
      }
      return 'attached';
    },
    /** As the product's: one long look that returns at a change. */
    async watch() {
      const before = JSON.stringify(mine().reading);
      for (let looks = 0; looks < 20 && JSON.stringify(mine().reading) === before; looks++) {
        Context.current().heartbeat({});
        await Context.current().sleep(LOOK_AGAIN_MS);
      }
      return mine().reading;
    },
    async finish() {
      const { finishFails } = mine();
      if (finishFails) throw failure(finishFails, true);
      return 'finished';
    },
    async detach() {
      return ['partial data on 10.0.0.6:6379'];
    },
    async check() {
      const { report } = mine();
      if (!report) throw failure('the source can not be reached', true);
      return report;
    },
  };
}

function failure(message: string, final: boolean): ApplicationFailure {
  const details = [{ remedy: 'open the port' }];
  return ApplicationFailure.create({ message, type: 'cutover.Unreachable', nonRetryable: final, details });
}

/** Polls until `probe` answers something, or throws with what it last saw. */
export async function until<T>(what: string, probe: () => Promise<T | undefined | false>, seconds = 60): Promise<T> {
  const deadline = Date.now() + seconds * 1000;
  let last: unknown;
  while (Date.now() < deadline) {
    try {
      const found = await probe();
      if (found) return found;
    } catch (error) {
      last = error;
    }
    await delay(100);
  }
  throw new Error(`not within ${seconds} s: ${what}`, { cause: last });
}

/** A file's text that is right. */
export function goodFile(id: string): string {
  return `kind: redis-online
id: ${id}
engine: replicaof
source:
  host: 10.0.0.5
target:
  host: 10.0.0.6
`;
}
