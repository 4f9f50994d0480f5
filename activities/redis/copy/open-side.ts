/** Opens the servers of one side: one, or the primaries of a cluster. */
import { Server } from './server.ts';
import type { ServerContext } from './server.ts';
import { topologyOf } from './topology.ts';
import type { Topology } from './topology.ts';
import type { CopySide } from './types.ts';

/** What holds the side's keys at this moment. @throws CopyError OBSTACLE; what connecting throws */
export async function topologyNow(side: 'source' | 'target', ends: CopySide): Promise<Topology> {
  const redis = await ends.connect(ends.at);
  try {
    return await topologyOf(redis, ends.at, side);
  } finally {
    redis.disconnect();
  }
}

/**
 * The servers are closed when the signal is aborted, also where one of them can't be opened.
 * @throws CopyError OBSTACLE where one is a replica, or slots are moving; what connecting throws; the signal's reason
 */
export async function openSide(
  context: Omit<ServerContext, 'cluster'>,
): Promise<{ servers: Server[]; topology: Topology }> {
  const topology = await topologyNow(context.side, context.ends);
  const servers: Server[] = [];
  context.signal.addEventListener('abort', () => servers.forEach((server) => server.close()), { once: true });
  for (const primary of topology.primaries) {
    servers.push(await Server.open(primary, { ...context, cluster: topology.cluster }));
    if (!context.signal.aborted) continue;
    // Aborted before we listened, or while this one was being opened: nobody else closes it.
    servers.forEach((server) => server.close());
    throw context.signal.reason;
  }
  return { servers, topology };
}
