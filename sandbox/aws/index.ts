import { mkdirSync } from 'node:fs';
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import { join, resolve } from 'node:path';
import { LOOPBACK, freePort } from '../runtime/ports.ts';
import { Background } from './background.ts';
import type { Cloud } from './cloud.ts';
import { Control } from './control.ts';
import { ControlPage } from './control-page.ts';
import { CustomerBuckets } from './customer-buckets.ts';
import { Engines } from './dms/engines.ts';
import type { DmsParts } from './dms/engines.ts';
import { Forwarder } from './forwarding.ts';
import type { ForwardTo } from './forwarding.ts';
import { onNodeDeath } from './node-recovery.ts';
import { NodePool } from './nodes.ts';
import { resume } from './resume.ts';
import { Router } from './router.ts';
import { Script } from './script.ts';
import { Store } from './store.ts';
import { DEFAULT_TIMING } from './timing.ts';
import type { Timing } from './timing.ts';

export type { Control, RunningNode } from './control.ts';
export { AwsFault } from './faults.ts';
export type { ForwardTo } from './forwarding.ts';
export type { CallHook, CallRecord } from './script.ts';
export type { Timing } from './timing.ts';

export interface StartAwsOptions {
  /** State, nodes' data and snapshots are kept here; a sandbox started again on it has the same groups with their data. */
  dir: string;
  port?: number;
  /** Default us-east-1. */
  region?: string;
  /** Path of redis-server, 7.0 or newer for everything. */
  redisServer: string;
  /** Path of valkey-server for groups with `Engine: valkey`; without it they run redis-server. */
  valkeyServer?: string;
  /** Milliseconds per state; see timing.ts for the defaults. */
  timing?: Partial<Timing>;
  /** What moves DMS's rows; the sandbox's own engine by default. */
  dms?: DmsParts;
  /** The server for all other AWS services (moto), or a function that starts it at the first such call. */
  forward?: ForwardTo;
}

export interface Aws {
  readonly url: string;
  readonly region: string;
  /** For a process that is to use this AWS: AWS_ENDPOINT_URL, AWS_REGION and a dummy key. */
  readonly env: Readonly<Record<string, string>>;
  readonly control: Control;
  /** Ends all nodes (their data is written first) and the server. */
  stop(): Promise<void>;
}

const ACCOUNT = '123456789012';

/** The engine that really moves rows; loaded when it is first needed, which in most sandboxes is never. */
async function ownDms(): Promise<DmsParts> {
  const { openTaskEngine } = await import('./dms/engine/engine.ts');
  const { testConnection } = await import('./dms/engine/connection-test.ts');
  return { openTaskEngine, testConnection };
}

/**
 * Starts a local AWS whose ElastiCache really moves data: nodes are redis-server processes, StartMigration makes them
 * replicas of the customer's node, CompleteMigration promotes them. And whose DMS really copies and follows a Postgres. Other services are passed on to `forward`.
 * @throws Error when the port is taken, the state cannot be read, or a node of an earlier run does not start.
 */
export async function startAws(options: StartAwsOptions): Promise<Aws> {
  const dir = resolve(options.dir);
  mkdirSync(dir, { recursive: true });
  const region = options.region ?? 'us-east-1';
  const { dms } = options;
  const forwarder = new Forwarder(options.forward);
  const cloud: Cloud = {
    region,
    account: ACCOUNT,
    dir,
    store: new Store(dir),
    nodes: new NodePool({ redis: options.redisServer, valkey: options.valkeyServer ?? options.redisServer }),
    background: new Background(join(dir, 'failures.log')),
    timing: { ...DEFAULT_TIMING, ...options.timing },
    script: new Script(),
    buckets: new CustomerBuckets(region, () => forwarder.url()),
    dms: { engines: new Engines(dms === undefined ? ownDms : () => Promise.resolve(dms)) },
  };
  cloud.nodes.onDeath = (id) => onNodeDeath(cloud, id);
  const control = new Control(cloud);
  const router = new Router(cloud, forwarder, new ControlPage(control));
  const server = createServer((request, response) => void router.answer(request, response));
  // A scripted call that is never answered must not be ended by us.
  server.requestTimeout = 0;
  // Longer than clients keep idle connections: else a call can meet a connection that is just being closed, and be sent twice.
  server.keepAliveTimeout = 75_000;

  const stop = async (): Promise<void> => {
    // Together: a start or a stop of an engine that hangs ends with the engine.
    await Promise.all([cloud.background.stop(), cloud.dms.engines.stopAll()]);
    server.closeAllConnections();
    await new Promise((done) => server.close(done));
    await cloud.buckets.close();
    const replicas = new Set(
      Object.values(cloud.store.state.groups).flatMap((group) =>
        group.nodes.filter((node) => node.role === 'replica').map((node) => node.id),
      ),
    );
    await cloud.nodes.stopAll((id) => replicas.has(id));
  };
  let url: string;
  try {
    await resume(cloud);
    url = await listen(server, options.port ?? (await freePort()));
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    url,
    region,
    control,
    stop,
    env: {
      AWS_ENDPOINT_URL: url,
      AWS_REGION: region,
      AWS_DEFAULT_REGION: region,
      AWS_ACCESS_KEY_ID: 'sandbox',
      AWS_SECRET_ACCESS_KEY: 'sandbox',
      // Else an SDK on a machine without a profile asks EC2's metadata service first.
      AWS_EC2_METADATA_DISABLED: 'true',
    },
  };
}

function listen(server: Server, port: number): Promise<string> {
  return new Promise((done, reject) => {
    server.once('error', (error) => {
      reject(
        new Error(`The sandbox's AWS cannot listen on ${LOOPBACK}:${port}: ${error.message}. Choose another port.`),
      );
    });
    server.listen({ host: LOOPBACK, port, exclusive: true }, () => done(`http://${LOOPBACK}:${port}`));
  });
}
