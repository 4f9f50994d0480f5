/** An application for one server or a cluster: it counts on many keys, knows what was acknowledged, and goes where a hook sends it. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { json } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { Cluster, type Redis } from 'ioredis';

type Client = Redis | Cluster;
interface Address {
  host: string;
  port: number;
}

/** A client that follows MOVED; to be disconnected. */
export function clusterOf({ host, port }: Address, more: { password?: string } = {}): Cluster {
  const redisOptions = { connectionName: 'an application', ...more };
  const cluster = new Cluster([{ host, port }], { redisOptions });
  cluster.on('error', () => {});
  return cluster;
}

export interface CountingApp {
  /** A switch hook that sends it to the migration's target. */
  hook: Record<string, unknown>;
  /** Counts that were acknowledged so far. */
  acknowledged(): number;
  /** @returns each key whose count is less than was acknowledged, or more than was tried, where the hook sent it */
  stop(): Promise<string[]>;
}

/** @param open of where it is sent to; it closes that one, not `first` */
export async function startCounting(
  first: Client,
  open: (at: Address) => Client = (at) => clusterOf(at),
): Promise<CountingApp> {
  const acknowledged = new Map<string, number>();
  const unanswered = new Map<string, number>();
  let at = first;
  let over = false;
  const more = (map: Map<string, number>, key: string) => map.set(key, (map.get(key) ?? 0) + 1);
  const client = async (name: number) => {
    for (let i = 0; !over; i++) {
      const key = `count:${name}:${i % 200}`;
      try {
        await at.incr(key);
        more(acknowledged, key);
      } catch (error) {
        // A refusal is no write; what got no answer may be one.
        if (!/NOREPLICAS/.test(String(error))) more(unanswered, key);
        await sleep(5);
      }
      // Deletes are carried over as well.
      if (i % 10 === 0)
        await at
          .set(`gone:${name}`, i)
          .then(() => at.del(`gone:${name}`))
          .catch(() => {});
      await sleep(2);
    }
  };
  const clients = [client(1), client(2)];
  const hook = createServer((request, response) => {
    const sent = json(request).then((body) => {
      const { host, port } = body as { host: string; port: string };
      // A hook may be run twice.
      if (at === first) at = open({ host, port: Number(port) });
      response.end();
    });
    sent.catch(() => response.destroy());
  }).listen(0, '127.0.0.1');
  await once(hook, 'listening');
  return {
    hook: {
      type: 'webhook',
      url: `http://127.0.0.1:${(hook.address() as AddressInfo).port}/`,
      body: { host: '${target.host}', port: '${target.port}' },
      timeout: '20s',
    },
    acknowledged: () => [...acknowledged.values()].reduce((sum, n) => sum + n, 0),
    async stop() {
      over = true;
      await Promise.all(clients);
      hook.close();
      const wrong: string[] = [];
      for (const [key, count] of acknowledged) {
        const value = Number(await at.get(key));
        if (value < count || value > count + (unanswered.get(key) ?? 0)) wrong.push(`${key}: ${count}, there ${value}`);
      }
      if (at !== first) at.disconnect();
      return wrong;
    },
  };
}
