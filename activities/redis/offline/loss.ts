/** What a migration without a fence leaves behind: all that the source took after its RDB was begun. */
import type { RedisEndpoint } from '../../../spec/values.ts';
import { withRedis } from '../connect.ts';
import { parseInfo } from '../replication.ts';

/** Where the RDB ends. */
export interface RdbEnd {
  /** `run_id` of the server that made it. */
  server: string;
  /** LASTSAVE of our own save, Unix seconds; absent where the RDB was streamed, which counts as no save. */
  savedAt?: number | undefined;
  /** Of the replication stream; absent where the source had no backlog then, and counted nothing. */
  stream?: { replid: string; offset: number } | undefined;
}

export interface WritesSince {
  /** ISO, by the worker's clock. */
  at: string;
  /** Changes of keys, as the source counts them. */
  changes?: number;
  /** Bytes of its replication stream; the pings to replicas are among them. */
  bytes?: number;
  /** Why neither is told. */
  unknown?: string;
}

/** @throws cutover.Unreachable, cutover.Denied */
export async function writesSinceRdb(input: {
  migrationId: string;
  source: RedisEndpoint;
  end: RdbEnd;
}): Promise<WritesSince> {
  const { migrationId, source, end } = input;
  return withRedis(source, { name: `cutover:${migrationId}` }, async (redis) => {
    const info = parseInfo(await redis.info());
    const at = new Date().toISOString();
    if (info['run_id'] !== end.server) return { at, unknown: 'the source was restarted since, and counts from there' };
    const ours = end.savedAt !== undefined && Number(info['rdb_last_save_time']) === end.savedAt;
    const changes = ours ? number(info['rdb_changes_since_last_save']) : undefined;
    const same = end.stream && info['repl_backlog_active'] === '1' && info['master_replid'] === end.stream.replid;
    const offset = same ? number(info['master_repl_offset']) : undefined;
    const bytes = offset === undefined || !end.stream ? undefined : Math.max(0, offset - end.stream.offset);
    if (changes === undefined && bytes === undefined) {
      return { at, unknown: 'the source saved again since, and has no replication backlog that counts' };
    }
    return { at, ...(changes === undefined ? {} : { changes }), ...(bytes === undefined ? {} : { bytes }) };
  });
}

function number(text: string | undefined): number | undefined {
  const value = Number(text ?? Number.NaN);
  return Number.isNaN(value) ? undefined : value;
}
