/** Which RDB files an engine version can read. ElastiCache takes the call, and its nodes end as `restore-failed`. */
import { open } from 'node:fs/promises';
import type { EngineName } from './state.ts';

/** `REDIS0011`, and `VALKEY080` since Valkey 9: nine bytes both. */
const HEADER = /^(?:REDIS|VALKEY)(\d{3,4})$/;
const HEADER_BYTES = 9;

/** Valkey keeps these for Redis 7.4 and later, whose files it refuses (valkey, src/rdb.h). */
const FOREIGN = { from: 12, to: 79 };

/** The newest format of each line of engine versions, the oldest line first (src/rdb.h of each). */
const NEWEST: Record<EngineName, readonly (readonly [line: string, rdb: number])[]> = {
  redis: [
    ['3', 7],
    ['4', 8],
    ['5', 9],
    ['6', 9],
    // 10 by its own source. Where no Redis can be had its nodes are Valkey, which writes 11; a real Redis 7.0 refuses that itself.
    ['7', 11],
  ],
  valkey: [
    ['7', 11],
    ['8', 11],
    ['9', 80],
  ],
};

/**
 * Why this engine version can't load the file, in the words of an event; undefined where it can. A file without the header
 * is left to the server, which refuses it itself.
 * @param version as the group has it, `7.1`
 */
export async function whyUnreadable(path: string, engine: EngineName, version: string): Promise<string | undefined> {
  const rdb = await rdbVersion(path);
  const major = version.split('.')[0];
  const newest = NEWEST[engine].find(([line]) => line === major)?.[1];
  if (rdb === undefined || newest === undefined) return undefined;
  const foreign = engine === 'valkey' && rdb >= FOREIGN.from && rdb <= FOREIGN.to;
  if (rdb <= newest && !foreign) return undefined;
  return `the snapshot's RDB version ${rdb} can't be read by ${engine} ${version}`;
}

async function rdbVersion(path: string): Promise<number | undefined> {
  const file = await open(path);
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(HEADER_BYTES), 0, HEADER_BYTES, 0);
    const found = HEADER.exec(buffer.toString('latin1', 0, bytesRead));
    return found === null ? undefined : Number(found[1]);
  } finally {
    await file.close();
  }
}
