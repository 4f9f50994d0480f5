/** The rows of `cutover.marker`: written on the source, they arrive on the target behind everything written before them. */
import { escapeIdentifier, type ClientBase } from 'pg';
import { MARKER_TABLE } from '../../spec/postgres-plan.ts';

/** For SQL, quoted. */
export const MARKER = `${escapeIdentifier(MARKER_TABLE.schema)}.${escapeIdentifier(MARKER_TABLE.name)}`;

/** Writes one row; the same id is written over, so that a watch of weeks does not fill the table. */
export async function writeMarker(client: ClientBase, id: string, value: string): Promise<void> {
  await client.query(
    `INSERT INTO ${MARKER} AS m (id, value, at) VALUES ($1, $2, clock_timestamp())
     ON CONFLICT (id) DO UPDATE SET value = excluded.value, at = excluded.at`,
    [id, value],
  );
}
