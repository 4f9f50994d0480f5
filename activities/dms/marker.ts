/** The marker that a watch writes on the source and looks for on the target: the lag, measured. */
import { randomUUID } from 'node:crypto';
import { sleep } from '@temporalio/activity';
import type { ClientBase } from 'pg';
import { MARKER, writeMarker } from '../postgres/marker.ts';

/** How often the target is asked for it, ms: of this size is the error of the lag. */
const LOOK_MS = 100;

export interface Marker {
  id: string;
  value: string;
  /** Epoch ms on the worker's clock, once it was committed. */
  at: number;
}

/** One row per migration, written over and over. */
export async function writeWatchMarker(source: ClientBase, migrationId: string): Promise<Marker> {
  const id = `${migrationId}:watch`;
  const value = randomUUID();
  await writeMarker(source, id, value);
  return { id, value, at: Date.now() };
}

/**
 * Looks for it on the target until it is there or the time is up.
 * @returns how long it took from its commit, ms; undefined where it has not arrived
 */
export async function markerArrived(target: ClientBase, marker: Marker, withinMs: number): Promise<number | undefined> {
  for (;;) {
    const { rowCount } = await target.query(`SELECT 1 FROM ${MARKER} WHERE id = $1 AND value = $2`, [
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
  const { rowCount } = await target.query(`SELECT 1 FROM ${MARKER} WHERE value = $1`, [value]);
  return (rowCount ?? 0) > 0;
}
