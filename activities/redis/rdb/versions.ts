/**
 * Which server can load which RDB: it refuses a number above its own, and loads every older one. The numbers are
 * RDB_VERSION in src/rdb.h of each release.
 */

export interface ServerVersion {
  engine: 'redis' | 'valkey';
  /** `7.0.15`, `7.1` */
  version: string;
}

/** From this release on, newest first. */
const REDIS: readonly (readonly [from: string, rdb: number])[] = [
  ['8.8', 14],
  ['8.6', 13],
  ['7.4', 12],
  ['7.2', 11],
  ['7.0', 10],
  ['5.0', 9],
  ['4.0', 8],
  ['3.2', 7],
  ['2.6', 6],
];

/** Its 7.2 and 8 kept Redis 7.2's number. 9.0 has a word (VALKEY) and numbers of its own, beyond those of Redis. */
const VALKEY: typeof REDIS = [
  ['9.0', 80],
  ['7.2', 11],
];

/** Redis's after the fork: no Valkey loads them (RDB_FOREIGN_VERSION_MIN and _MAX of Valkey's rdb.h). */
const FOREIGN = { least: 12, most: 79 } as const;

/** What this server writes, and the newest that it loads; undefined for one that is older than the table. */
export function rdbVersionOf({ engine, version }: ServerVersion): number | undefined {
  const wanted = ordered(version);
  return (engine === 'valkey' ? VALKEY : REDIS).find(([from]) => ordered(from) <= wanted)?.[1];
}

/**
 * Why a server can't load an RDB of this version; undefined where it can. ElastiCache for Redis 7.1 is by its format
 * Redis 7.0.
 */
export function whyNotLoadable(rdb: number, by: ServerVersion): string | undefined {
  const name = `${by.engine} ${by.version}`;
  const newest = rdbVersionOf(by);
  if (newest === undefined) return `it is not known which RDBs ${name} loads`;
  if (by.engine === 'valkey' && rdb >= FOREIGN.least && rdb <= FOREIGN.most) {
    return `RDB version ${rdb} is of Redis 7.4 or later, and no Valkey loads it`;
  }
  if (rdb <= newest) return undefined;
  return `RDB version ${rdb} is newer than what ${name} loads (${newest})`;
}

function ordered(version: string): number {
  const [major = 0, minor = 0] = version.split('.').map((part) => Number.parseInt(part, 10) || 0);
  return major * 1000 + minor;
}
