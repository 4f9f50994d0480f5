/**
 * The application: clients that keep writing to the current endpoint at a rate, and know of every write whether it was
 * acknowledged, by whom and when. It goes to another endpoint when it is told to, as an application behind a switch
 * hook does.
 */
import { randomBytes } from 'node:crypto';
import { AckFile } from './ack-file.ts';
import { AppClient, now, type Destination } from './app-client.ts';
import type { Acknowledged, Endpoint } from './acknowledged.ts';
import { AppMeter, type AppStats } from './meter.ts';
import { Wake } from './wake.ts';

export interface AppOptions {
  endpoint: Endpoint;
  /** Default 8. */
  clients?: number;
  /** Writes per second of all clients together. Default 2,000. */
  rate?: number;
  /** Part of every key's name; default random. Keeps two runs on one server apart. */
  run?: string;
  /** Where the record is appended as it grows (ack-file.ts). */
  ackFile?: string;
}

export interface App {
  readonly run: string;
  stats(): AppStats;
  /**
   * Sends every client to another endpoint, all at once, once all of them have a connection there.
   * @throws Error with the reason where that can't be reached; they stay where they are then
   */
  switchTo(endpoint: Endpoint): Promise<void>;
  /** The record as it is now; complete only after stop(). */
  acknowledged(): Acknowledged;
  /** Lets the writes under way end. May be called again. */
  stop(): Promise<Acknowledged>;
}

export function startApp(options: AppOptions): App {
  const run = options.run ?? randomBytes(3).toString('hex');
  const count = options.clients ?? 8;
  const intervalMs = (1_000 * count) / (options.rate ?? 2_000);
  const endpoints: Endpoint[] = [options.endpoint];
  let destination: Destination = { generation: 0, endpoint: options.endpoint };
  let stopping = false;
  const wake = new Wake();
  const meter = new AppMeter(count);
  const file = options.ackFile === undefined ? undefined : new AckFile(options.ackFile, run);
  file?.endpoint(0, options.endpoint);

  const clients = Array.from({ length: count }, (_, client) => {
    return new AppClient({
      run,
      client,
      intervalMs,
      wake,
      destination: () => destination,
      stopped: () => stopping,
      onError: (kind) => meter.error(kind),
      onAck: (at, generation, ambiguous, reply) => {
        meter.ack(client, at, generation, ambiguous);
        file?.ack(client, generation, at, ambiguous, reply);
      },
    });
  });
  const running = Promise.all(clients.map((client) => client.run()));
  let stopped: Promise<void> | undefined;
  let switching: Promise<void> = Promise.resolve();

  const move = async (endpoint: Endpoint): Promise<void> => {
    const { host, port } = destination.endpoint;
    if (endpoint.host === host && endpoint.port === port) return;
    const next: Destination = { generation: endpoints.length, endpoint };
    const prepared = await Promise.allSettled(clients.map((client) => client.prepare(next)));
    const ready = prepared.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
    const failed = prepared.find((one) => one.status === 'rejected');
    if (failed) {
      for (const move of ready) move.discard();
      const why = failed.reason instanceof Error ? failed.reason.message : String(failed.reason);
      throw new Error(`the application can't reach ${endpoint.host}:${endpoint.port}: ${why}`, {
        cause: failed.reason,
      });
    }
    endpoints.push(endpoint);
    file?.endpoint(next.generation, endpoint);
    destination = next;
    for (const move of ready) move.take();
    wake.all();
  };
  const acknowledged = (): Acknowledged => ({
    run,
    endpoints: endpoints.map(({ host, port }) => ({ host, port })),
    clients: clients.map(({ log }) => log),
    complete: stopped !== undefined,
  });
  return {
    run,
    stats: () => meter.stats(endpoints, now()),
    acknowledged,
    switchTo: (endpoint) => {
      // One after another: two at a time would give two endpoints the same number.
      const mine = switching.then(() => move(endpoint));
      switching = mine.catch(() => {});
      return mine;
    },
    stop: async () => {
      stopping = true;
      wake.all();
      stopped ??= running.then(() => file?.end(clients.map(({ log }) => log)));
      await stopped;
      return acknowledged();
    },
  };
}
