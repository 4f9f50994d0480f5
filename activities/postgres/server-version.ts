/** Which Postgres it is: 150018 for 15.18, 90624 for 9.6.24. */
import type pg from 'pg';

export async function serverVersion(client: pg.ClientBase): Promise<number> {
  const { rows } = await client.query<{ version: string }>(`SELECT current_setting('server_version_num') AS version`);
  return Number(rows[0]!.version);
}

/** 15 of 150018, and 9.6 of 90624: the part that pg_dump must not be older than. */
export function majorOf(version: number): number {
  return version >= 100_000 ? Math.floor(version / 10_000) : Math.floor(version / 100) / 100;
}
