import { Redis } from 'ioredis';
import { parseInfo } from './redis-info.ts';

const ANSWER_MS = 2_000;

/** The customer's node as the service sees it: without a password, because StartMigration can be given none. */
export interface CustomerNode {
  /** INFO of replication and cluster. */
  info: Record<string, string>;
}

/** Really connects, greets and asks. @throws Error with the reason in the server's or the network's own words. */
export async function askCustomerNode(host: string, port: number): Promise<CustomerNode> {
  const client = new Redis({
    host,
    port,
    lazyConnect: true,
    enableReadyCheck: false,
    maxRetriesPerRequest: 0,
    retryStrategy: () => null,
    connectTimeout: ANSWER_MS,
    commandTimeout: ANSWER_MS,
  });
  let reason: Error | undefined;
  // connect() itself only says "Connection is closed."; what happened comes as an event.
  client.on('error', (error: Error) => (reason ??= error));
  try {
    await client.connect();
    await client.ping();
    const info = parseInfo(await client.info());
    return { info };
  } catch (error) {
    throw reason ?? error;
  } finally {
    client.disconnect();
  }
}
