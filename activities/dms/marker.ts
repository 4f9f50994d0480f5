/** The marker row: written on the source, it arrives on the target behind everything that was written before it. */
import { randomUUID } from 'node:crypto';
import { sleep } from '@temporalio/activity';
import { escapeIdentifier, type ClientBase } from 'pg';
import { MARKER_TABLE } from '../../spec/postgres-plan.ts';

const TABLE = `${escapeIdentifier(MARKER_TABLE.schema)}.${escapeIdentifier(MARKER_TABLE.name)}`;
/** How often the target is asked for it, ms: of this size is the error of the lag. */
const LOOK_MS = 100;

export interface Marker {
  id: string;
  value: string;
  /** Epoch ms on the worker's clock, once it was committed. */
  at: number;
}

/** One row per migration, written over and over: the watch of weeks must not fill the table. */
export async function writeMarker(source: ClientBase, migrationId: string): Promise<Marker> {
  const id = `${migrationId}:watch`;
  const value = randomUUID();
  await source.query(
    `INSERT INTO ${TABLE} (id, value, at) VALUES ($1, $2, now())
       ON CONFLICT (id) DO UPDATE SET value = excluded.value, at = excluded.at`,
    [id, value],
  );
  return { id, value, at: Date.now() };
}

/**
 * Looks for it on the target until it is there or the time is up.
 * @returns how long it took from its commit, ms; undefined where it has not arrived
 */
export async function markerArrived(target: ClientBase, marker: Marker, withinMs: number): Promise<number | undefined> {
  for (;;) {
    const { rowCount } = await target.query(`SELECT 1 FROM ${TABLE} WHERE id = $1 AND value = $2`, [
      marker.id,
      marker.value,
    ]);
    const age = Date.now() - marker.at;
    if (rowCount) return Math.max(0, age);
    if (age >= withinMs) return undefined;
    await sleep(Math.min(LOOK_MS, withinMs - age));
  }
}

/** True where a marker with this value has arrived, whatever its id: the fence's. */
export async function hasMarker(target: ClientBase, value: string): Promise<boolean> {
  const { rowCount } = await target.query(`SELECT 1 FROM ${TABLE} WHERE value = $1`, [value]);
  return (rowCount ?? 0) > 0;
}
