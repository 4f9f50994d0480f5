/** Finds the streams of the source: their groups move without an event (XREADGROUP, XACK, XCLAIM). */
import { ask, askAll } from '../compare/replies.ts';
import type { Command } from '../compare/replies.ts';
import type { Server } from './server.ts';

export interface StreamSearch {
  sources: readonly Server[];
  databasesOf: (server: Server) => Promise<Map<number, number>>;
}

/** Calls `found` with each page's streams, one page after the other. @throws what the connections throw */
export async function findStreams(
  { sources, databasesOf }: StreamSearch,
  found: (server: Server, db: number, keys: Buffer[]) => Promise<void> | void,
): Promise<void> {
  for (const server of sources) {
    for (const db of (await databasesOf(server)).keys()) {
      const redis = await server.db(db);
      let cursor = '0';
      do {
        const [next, keys] = await ask<[Buffer, Buffer[]]>(redis, 'SCAN', cursor, 'COUNT', 1000);
        cursor = next.toString();
        const types = await askAll<Buffer | string>(
          redis,
          keys.map((key): Command => ['TYPE', key]),
        );
        await found(
          server,
          db,
          keys.filter((_, i) => String(types[i]) === 'stream'),
        );
      } while (cursor !== '0');
    }
  }
}
