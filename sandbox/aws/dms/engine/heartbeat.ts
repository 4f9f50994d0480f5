/** HeartbeatEnable: writes on the source, so that an idle database does not hold the slot back. */
import { escapeIdentifier } from 'pg';
import type { TaskSpec } from './contract.ts';
import { withSession } from './sessions.ts';
import { qualified } from './table-plan.ts';
import { endpointFlag } from './task-settings.ts';

/** HeartbeatFrequency is in minutes, 5 by default. */
export function heartbeatMs(spec: TaskSpec): number | undefined {
  if (!endpointFlag(spec.source.settings, 'HeartbeatEnable')) return undefined;
  const minutes = Number(spec.source.settings['HeartbeatFrequency'] ?? 5);
  return (Number.isFinite(minutes) && minutes > 0 ? minutes : 5) * 60_000;
}

/** One beat; makes its table (HeartbeatSchema, `public` by default) where it is not there. */
export async function beat(spec: TaskSpec): Promise<void> {
  const given = spec.source.settings['HeartbeatSchema'];
  const schema = typeof given === 'string' && given !== '' ? given : 'public';
  const table = qualified(schema, 'awsdms_heartbeat');
  await withSession(spec.source, 'source', spec.id, async (client) => {
    const { rows } = await client.query<{ there: boolean }>('SELECT to_regclass($1) IS NOT NULL AS there', [table]);
    if (rows[0]?.there !== true) {
      await client.query(`CREATE SCHEMA IF NOT EXISTS ${escapeIdentifier(schema)}`);
      await client.query(
        `CREATE TABLE IF NOT EXISTS ${table} (hb_key int8 PRIMARY KEY, hb_created_at timestamp, hb_created_by varchar(128), hb_last_heartbeat_at timestamp, hb_last_heartbeat_by varchar(128))`,
      );
    }
    await client.query(
      `INSERT INTO ${table} VALUES (1, now(), $1, now(), $1)
       ON CONFLICT (hb_key) DO UPDATE SET hb_last_heartbeat_at = now(), hb_last_heartbeat_by = excluded.hb_last_heartbeat_by`,
      [spec.id.slice(0, 128)],
    );
  });
}
