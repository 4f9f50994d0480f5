/**
 * An application of Redash's shape: clients that keep writing transactions, know of each whether it was acknowledged, and go
 * to another database when they are told to, as services behind a switch hook do.
 */
import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { Wake } from '../wake.ts';
import { readGround } from './belongings.ts';
import { RedashClient, type Destination } from './client.ts';
import { withClient, type PgAddress, type PgEndpoint } from './endpoint.ts';
import { RedashMeter, type RedashStats } from './meter.ts';
import { RecordKeeper, type RedashRecord } from './record.ts';

export interface RedashAppOptions {
  /** With the application's own role. */
  endpoint: PgEndpoint;
  /** Default 8. */
  clients?: number;
  /** Transactions per second of all clients together. Default 200. */
  rate?: number;
  /** Of the clients, how many go on writing when the service is stopped: what people forget. Only a fence ends them. Default 0. */
  stragglers?: number;
  /** Part of every mark: letters and digits. Default random. Keeps two runs in one database apart. */
  run?: string;
  /** Where the record is appended as it grows (record.ts). */
  recordFile?: string;
}

export interface RedashHealth {
  /** What the server says of itself. */
  port: number;
  database: string;
  organization: string;
  liveQueries: number;
}

export interface RedashApp {
  readonly run: string;
  stats(): RedashStats;
  /**
   * Sends every client to another database, same role and password; they find out by themselves whether it answers.
   * The one they are at already: does nothing.
   */
  switchTo(address: PgAddress): void;
  /** The service is stopped: resolves when no transaction of it is under way. Stragglers go on. May be called again. */
  stopService(): Promise<void>;
  startService(): void;
  /** A real SELECT where the clients write now, by the application's role. @throws Error of pg */
  health(): Promise<RedashHealth>;
  record(): RedashRecord;
  /** Ends all clients; lets what is under way end. May be called again. */
  end(): Promise<RedashRecord>;
}

const IDLE_LOOK_MS = 5;

/** @throws Error where the database can't be reached, or is not filled */
export async function startRedashApp(options: RedashAppOptions): Promise<RedashApp> {
  const run = options.run ?? `r${randomBytes(3).toString('hex')}`;
  if (!/^[a-z0-9]+$/i.test(run)) throw new Error(`run: expected letters and digits, found ${run}`);
  const { clients: count = 8, rate = 200, stragglers = 0 } = options;
  const ground = await withClient(options.endpoint, 'redash:start', readGround);
  const wake = new Wake();
  const meter = new RedashMeter(count);
  const keeper = new RecordKeeper(run, count, options.recordFile);
  const endpoints: PgAddress[] = [options.endpoint];
  let destination: Destination = { generation: keeper.endpoint(options.endpoint), endpoint: options.endpoint };
  let stopped = false;
  let ending = false;
  const clients = Array.from({ length: count }, (_, client) => {
    return new RedashClient({
      run,
      client,
      clients: count,
      intervalMs: (1_000 * count) / rate,
      ground,
      destination: () => destination,
      mayWrite: () => !stopped || client < stragglers,
      ended: () => ending,
      wake,
      keeper,
      meter,
    });
  });
  const running = Promise.all(clients.map((client) => client.run()));

  return {
    run,
    stats: () => meter.stats(run, endpoints),
    switchTo: ({ host, port, database }) => {
      const at = destination.endpoint;
      if (at.host === host && at.port === port && at.database === database) return;
      const endpoint = { ...options.endpoint, host, port, database };
      endpoints.push(endpoint);
      destination = { generation: keeper.endpoint(endpoint), endpoint };
      wake.all();
    },
    stopService: async () => {
      stopped = true;
      wake.all();
      // A start meanwhile takes the stop back.
      const writing = (): boolean => stopped && clients.slice(stragglers).some(({ busy }) => busy);
      while (writing()) await delay(IDLE_LOOK_MS);
    },
    startService: () => {
      stopped = false;
      wake.all();
    },
    health: () => withClient(destination.endpoint, 'redash:health', askHealth),
    record: () => keeper.record(),
    end: async () => {
      ending = true;
      wake.all();
      await running;
      keeper.close();
      return keeper.record();
    },
  };
}

async function askHealth(client: Parameters<Parameters<typeof withClient>[2]>[0]): Promise<RedashHealth> {
  const { rows } = await client.query<RedashHealth>(`
    SELECT current_setting('port')::int AS port, current_database() AS database,
      (SELECT name FROM organizations ORDER BY id LIMIT 1) AS organization,
      (SELECT count(*)::int FROM (SELECT 1 FROM live_queries LIMIT 100) AS found) AS "liveQueries"`);
  const health = rows[0]!;
  if (health.organization === null || health.liveQueries === 0) throw new Error('the database has no queries');
  return health;
}
