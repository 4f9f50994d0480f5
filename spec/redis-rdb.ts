/** A Redis's data as an RDB file: where it is fetched, where in S3 it goes, and what is known of it on the way. */
import { z } from 'zod';
import { instanceId } from './machine.ts';
import { duration } from './values.ts';

const absolute = z
  .string()
  .regex(/^\/[^\0\n\r]*$/, { error: 'expected an absolute path such as /var/lib/redis/dump.rdb' });

const fromReplication = z.strictObject({
  type: z.literal('replication').describe('as a replica gets it: no access to the disk, a save of its own (PSYNC)'),
});
const fromPath = z.strictObject({
  type: z.literal('path').describe("a file that the worker can read: on the source's machine, or on a disk they share"),
  path: absolute.optional().describe('where the worker sees it; default: dir and dbfilename of the source'),
});
const fromMachine = z.strictObject({
  type: z.literal('ssm').describe("the source's machine uploads it itself, told by SSM RunCommand"),
  instance: instanceId,
  path: absolute.optional().describe('on the machine; default: dir and dbfilename of the source'),
  agentTimeout: duration({ min: '30s' }).prefault('10m').describe('how long the SSM agent may take to answer'),
});

/** How the RDB leaves the source. */
export const rdbFrom = z.discriminatedUnion('type', [fromReplication, fromPath, fromMachine], {
  error: 'expected type: replication, path or ssm',
});
export type RdbFrom = z.output<typeof rdbFrom>;

/** Where it goes: each run's object has a key of its own, so that what is under it is ours. */
export const rdbBucket = z.strictObject({
  bucket: z
    .string()
    .regex(/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/, { error: 'expected the name of a bucket' })
    .describe("in the target's region"),
  prefix: z
    .string()
    .regex(/^[A-Za-z0-9!_.*'()/-]*$/, { error: 'expected letters, digits, / and !_.*-: ElastiCache takes no comma' })
    .max(500)
    .default('cutover/'),
  owner: z
    .string()
    .regex(/^\d{12}$/, { error: 'expected an account id of 12 digits' })
    .optional()
    .describe('the account that the bucket must belong to'),
});
export type RdbBucket = z.output<typeof rdbBucket>;

/** One object, as it is addressed. */
export interface RdbObject {
  bucket: string;
  key: string;
  owner?: string | undefined;
}

/**
 * The object of a run. Its key holds the migration's id and the run, so nothing else is ever under it.
 * @param shard of a source in cluster mode, counted from 1
 */
export function rdbObject(to: RdbBucket, ours: { migrationId: string; run: string }, shard = 1): RdbObject {
  const number = String(shard).padStart(4, '0');
  return {
    bucket: to.bucket,
    key: `${to.prefix}${ours.migrationId}-${ours.run}-${number}.rdb`,
    ...(to.owner === undefined ? {} : { owner: to.owner }),
  };
}

/** As CreateReplicationGroup takes it. @param partition `aws`, `aws-cn`, `aws-us-gov` */
export function rdbArn({ bucket, key }: RdbObject, partition = 'aws'): string {
  return `arn:${partition}:s3:::${bucket}/${key}`;
}

/** A point in a server's life, as it was before the RDB was asked for. */
export interface RdbMark {
  /** By the server's own clock, Unix seconds. What it saves from here on has at least this in its header. */
  second: number;
  /** `run_id`: another one means that it was restarted. */
  server: string;
  replid: string;
  /** `master_repl_offset`, bytes. */
  offset: number;
  /** There was a replication backlog. Without one (before Redis 7) the offset stands still. */
  backlog: boolean;
}

/** A save of ours that has ended well. */
export interface SavedRdb {
  /** Taken right before BGSAVE: the RDB holds all that was written up to it. */
  mark: RdbMark;
  /** LASTSAVE, Unix seconds by the server's clock. */
  savedAt: number;
  /** Of the server; missing where CONFIG is blocked. */
  dir?: string;
  dbfilename?: string;
  /** `7.0.15`, by INFO. */
  version: string;
  engine: 'redis' | 'valkey';
  /** Keys by database, right after the save began: as many as the RDB has where nothing writes. */
  keys: Record<string, number>;
  /** Milliseconds that our save took, and that others before it were waited for. */
  tookMs: number;
  waitedMs: number;
}

/** What an RDB says of itself, read from its own bytes. */
export interface RdbFacts {
  magic: 'REDIS' | 'VALKEY';
  /** Of the format: 9 of Redis 5 and 6, 10 of 7.0, 11 of 7.2, 80 of Valkey 9. */
  version: number;
  bytes: number;
  /** CRC-64 in hex, equal to what was computed; undefined where the server was set not to write it (rdbchecksum no). */
  crc64?: string;
  /** `redis-ver` or `valkey-ver`. */
  server?: string;
  /** When its making was begun, Unix seconds by the server's clock. */
  createdAt?: number;
  /** What the server's memory was then, bytes. */
  usedMemory?: number;
  replid?: string;
  /** It holds the writes up to here exactly, where the server had a backlog or is a replica. */
  offset?: number;
}

/** An RDB that is whole in S3, byte for byte. */
export interface UploadedRdb extends RdbObject {
  bytes: number;
  etag: string;
  parts: number;
  /** Parts that an earlier attempt had uploaded. */
  resumedParts: number;
  rdb: RdbFacts;
  /** It holds at least all that was written before this. */
  mark: RdbMark;
  /** Where the source's stream stood when the RDB was begun, of FULLRESYNC; with type: replication alone. */
  sync?: { replid: string; offset: number };
}
