/** Replication slots on the source, and the write-ahead log that they hold back (facts/postgres-dms 4.7, slot health). */
import type pg from 'pg';
import { serverVersion } from './server-version.ts';

export interface SlotReading {
  name: string;
  plugin: string;
  active: boolean;
  /** `reserved`, `extended`, `unreserved`, `lost`; `unknown` before Postgres 13, which does not say. */
  walStatus: string;
  /** How much more may be written before the slot is lost, bytes; absent where nothing limits it. */
  safeBytes?: number;
  /** WAL from restart_lsn to the head: what the slot keeps on the disk, bytes. */
  retainedBytes: number;
  /** From confirmed_flush_lsn to the head, bytes. */
  unconfirmedBytes: number;
}

/** The logical slots of the client's own database. */
export async function readSlots(client: pg.ClientBase): Promise<SlotReading[]> {
  const version = await serverVersion(client);
  const head = version >= 100_000 ? 'pg_current_wal_lsn()' : 'pg_current_xlog_location()';
  const diff = version >= 100_000 ? 'pg_wal_lsn_diff' : 'pg_xlog_location_diff';
  const { rows } = await client.query<Record<string, string | boolean | null>>(
    `SELECT slot_name AS name, plugin, active,
            coalesce(row_to_json(s)->>'wal_status', 'unknown') AS wal_status,
            row_to_json(s)->>'safe_wal_size' AS safe,
            coalesce(${diff}(${head}, restart_lsn), 0)::text AS retained,
            coalesce(${diff}(${head}, confirmed_flush_lsn), 0)::text AS unconfirmed
       FROM pg_replication_slots s
      WHERE slot_type = 'logical' AND database = current_database()
      ORDER BY slot_name`,
  );
  return rows.map((row) => ({
    name: String(row['name']),
    plugin: String(row['plugin']),
    active: row['active'] === true,
    walStatus: String(row['wal_status']),
    ...(row['safe'] === null ? {} : { safeBytes: Number(row['safe']) }),
    retainedBytes: Number(row['retained']),
    unconfirmedBytes: Number(row['unconfirmed']),
  }));
}

/** WAL that the slot keeps on the source's disk, bytes; undefined where there is no such slot. */
export async function retainedBytes(client: pg.ClientBase, slot: string): Promise<number | undefined> {
  return (await readSlots(client)).find((reading) => reading.name === slot)?.retainedBytes;
}
