import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { copyFileSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { LOOPBACK, assertPortFree } from '../runtime/ports.ts';
import { startProcess } from '../runtime/process.ts';
import type { RunningProcess } from '../runtime/process.ts';
import { serverEnvironment } from '../runtime/server-environment.ts';
import { ADMIN_USER, nodeConf, renamed } from './node-config.ts';
import type { NodeConfig, RenamedCommand } from './node-config.ts';
import { parseInfo } from './redis-info.ts';
import type { EngineName } from './state.ts';

/** What the pool must know to start a node; the rest of its redis.conf is the pool's own. */
export type NodeRequest = Omit<NodeConfig, 'adminPassword' | 'renamePrefix' | 'major'> & {
  id: string;
  /** Starts with an empty dataset: what is left in its folder is removed. */
  empty?: boolean;
  /** The RDB it starts from. */
  seed?: string | undefined;
};

interface Node {
  running: RunningProcess;
  admin: Redis;
  /** Ended by us: its end is no accident. */
  expected: boolean;
}

const READY_MS = 120_000;

/**
 * The redis-server processes behind the emulated cache nodes, by CacheClusterId. They end with this process.
 * Administered through a user and through command names that no client knows; both are drawn anew for each pool.
 */
export class NodePool {
  /** Called when a node's process ends without our doing. */
  onDeath: (id: string) => void = () => {};
  readonly #nodes = new Map<string, Node>();
  readonly #adminPassword = randomBytes(24).toString('hex');
  readonly #prefix = `sbx${randomBytes(16).toString('hex')}`;
  readonly #servers: Record<EngineName, string>;
  readonly #majors = new Map<string, number>();

  constructor(servers: Record<EngineName, string>) {
    this.#servers = servers;
  }

  /** Starts a node and waits until it has loaded its data. @throws ProcessStartError with the last lines of its log. */
  async start(request: NodeRequest): Promise<void> {
    if (this.#nodes.has(request.id)) throw new Error(`sandbox: node ${request.id} runs already`);
    if (request.empty === true) rmSync(request.dir, { recursive: true, force: true });
    mkdirSync(request.dir, { recursive: true });
    if (request.seed !== undefined) copyFileSync(request.seed, join(request.dir, 'dump.rdb'));
    const configFile = join(request.dir, 'redis.conf');
    const server = this.#servers[request.engine];
    const config: NodeConfig = {
      ...request,
      major: this.#major(server),
      adminPassword: this.#adminPassword,
      renamePrefix: this.#prefix,
    };
    writeFileSync(configFile, nodeConf(config), { mode: 0o600 });
    await assertPortFree(request.port, `node ${request.id}`);
    const admin = this.#connect(request.port);
    let running: RunningProcess;
    try {
      running = await startProcess({
        name: `elasticache:${request.id}`,
        command: server,
        args: [configFile],
        env: serverEnvironment(),
        cwd: request.dir,
        logFile: join(request.dir, 'redis.log'),
        ready: async (pid) => {
          const info = parseInfo(await admin.info());
          return info['process_id'] === String(pid) && info['loading'] === '0';
        },
        readyTimeoutMs: READY_MS,
        secrets: [this.#adminPassword, this.#prefix, ...(request.authToken === undefined ? [] : [request.authToken])],
      });
    } catch (error) {
      admin.disconnect();
      throw error;
    }
    const node: Node = { running, admin, expected: false };
    this.#nodes.set(request.id, node);
    void running.exited.then(() => {
      admin.disconnect();
      if (this.#nodes.get(request.id) === node) this.#nodes.delete(request.id);
      if (!node.expected) this.onDeath(request.id);
    });
  }

  /** Ends a node by SIGTERM: it writes its RDB first. Nothing happens if it does not run. */
  async stop(id: string): Promise<void> {
    const node = this.#nodes.get(id);
    if (node === undefined) return;
    node.expected = true;
    await node.running.stop();
  }

  /** SIGKILL. @param expected false: as an accident, so that onDeath is called. */
  async kill(id: string, expected: boolean): Promise<void> {
    const node = this.#nodes.get(id);
    if (node === undefined) return;
    node.expected = expected;
    await node.running.kill();
  }

  runs(id: string): boolean {
    return this.#nodes.has(id);
  }

  pid(id: string): number | undefined {
    return this.#nodes.get(id)?.running.pid;
  }

  ids(): string[] {
    return [...this.#nodes.keys()];
  }

  /** SIGSTOP and SIGCONT: a node that hangs. */
  signal(id: string, signal: NodeJS.Signals): void {
    this.#nodes.get(id)?.running.signal(signal);
  }

  /** A command that clients may not call. @throws Error when the node does not run or refuses. */
  async restricted(id: string, command: RenamedCommand, ...args: string[]): Promise<unknown> {
    return this.#admin(id).call(renamed(this.#prefix, command), ...args);
  }

  async call(id: string, command: string, ...args: string[]): Promise<unknown> {
    return this.#admin(id).call(command, ...args);
  }

  /** With keys and values as they are: text would break those that are none. */
  async raw(id: string, command: string, ...args: (string | Buffer)[]): Promise<unknown> {
    return this.#admin(id).callBuffer(command, ...args);
  }

  /** The fields of INFO. */
  async info(id: string, section?: string): Promise<Record<string, string>> {
    const admin = this.#admin(id);
    return parseInfo(section === undefined ? await admin.info() : await admin.info(section));
  }

  /** Makes a node a replica of another node of ours, or of the customer's. */
  async follow(id: string, host: string, port: number, own: boolean): Promise<void> {
    await this.restricted(id, 'config', 'SET', 'masteruser', own ? ADMIN_USER : '');
    // With a password set, a customer's node that asks for none would refuse the handshake's AUTH.
    await this.restricted(id, 'config', 'SET', 'masterauth', own ? this.#adminPassword : '');
    await this.restricted(id, 'replicaof', host, String(port));
  }

  async promote(id: string): Promise<void> {
    await this.restricted(id, 'replicaof', 'NO', 'ONE');
  }

  /** Gives a running node another port; connections that are open stay open. @returns false where the server cannot. */
  async movePort(id: string, port: number): Promise<boolean> {
    const node = this.#nodes.get(id);
    if (node === undefined) return false;
    try {
      await this.restricted(id, 'config', 'SET', 'port', String(port));
    } catch {
      return false; // Before Redis 7 the port is fixed.
    }
    node.admin.disconnect();
    node.admin = this.#connect(port);
    return true;
  }

  /** Ends all nodes, replicas first: a primary that stops would wait for replicas that are still to be told. */
  async stopAll(replicasFirst: (id: string) => boolean): Promise<void> {
    const ids = this.ids();
    await Promise.all(ids.filter(replicasFirst).map((id) => this.stop(id)));
    await Promise.all(this.ids().map((id) => this.stop(id)));
  }

  #admin(id: string): Redis {
    const node = this.#nodes.get(id);
    if (node === undefined) throw new Error(`sandbox: node ${id} does not run`);
    return node.admin;
  }

  #connect(port: number): Redis {
    const client = new Redis({
      host: LOOPBACK,
      port,
      username: ADMIN_USER,
      password: this.#adminPassword,
      connectionName: 'sandbox-admin',
      // A node that loads its data answers INFO; ioredis would hold our commands back.
      enableReadyCheck: false,
      maxRetriesPerRequest: 3,
      retryStrategy: () => 50,
      commandTimeout: 10_000,
    });
    client.on('error', () => {}); // ioredis prints errors nobody listens to; the commands themselves reject.
    return client;
  }

  #major(server: string): number {
    let major = this.#majors.get(server);
    if (major === undefined) {
      const said = execFileSync(server, ['--version'], { encoding: 'utf8' });
      major = Number(/ v=(\d+)\./.exec(said)?.[1] ?? Number.NaN);
      if (Number.isNaN(major)) throw new Error(`${server} does not say its version, but: ${said.trim().slice(0, 200)}`);
      this.#majors.set(server, major);
    }
    return major;
  }
}
