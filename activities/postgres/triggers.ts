/** Triggers: each enabled, disabled, always or replica, as it is on the source. */
import type pg from 'pg';
import { tableText, type PlannedTable } from '../../spec/postgres-plan.ts';
import { quoted, quotedTable, tableKey } from './names.ts';
import { isUserSchema } from './user-schemas.ts';

interface Trigger {
  schema: string;
  table: string;
  name: string;
  /** O origin, D disabled, R replica, A always. */
  enabled: string;
}

const ENABLE: Record<string, string> = { O: 'ENABLE', D: 'DISABLE', R: 'ENABLE REPLICA', A: 'ENABLE ALWAYS' };

export interface TriggersMatched {
  changed: number;
  faults: { what: string; mend: string }[];
}

/** Sets what differs; finds what is missing, and constraint triggers that somebody has switched off. Twice is once. */
export async function matchTriggers(
  sides: { source: pg.ClientBase; target: pg.ClientBase },
  tables: readonly PlannedTable[],
): Promise<TriggersMatched> {
  const moved = new Set(tables.map(tableKey));
  const [here, there] = await Promise.all([readTriggers(sides.source), readTriggers(sides.target)]);
  const faults = await sleepingKeys(sides.target);
  let changed = 0;
  for (const trigger of here) {
    const table = { schema: trigger.schema, name: trigger.table };
    if (!moved.has(tableKey(table))) continue;
    const other = there.find(
      ({ schema, table: name, name: own }) =>
        schema === trigger.schema && name === trigger.table && own === trigger.name,
    );
    if (!other) {
      const what = `the trigger ${trigger.name} of ${tableText(table)} is missing`;
      faults.push({ what, mend: 'create it as it is on the source' });
    } else if (other.enabled !== trigger.enabled) {
      const how = ENABLE[trigger.enabled] ?? 'ENABLE';
      await sides.target.query(`ALTER TABLE ${quotedTable(table)} ${how} TRIGGER ${quoted(trigger.name)}`);
      changed += 1;
    }
  }
  return { changed, faults };
}

async function readTriggers(client: pg.ClientBase): Promise<Trigger[]> {
  const { rows } = await client.query<Trigger>(
    `SELECT n.nspname::text AS schema, c.relname::text AS "table", t.tgname::text AS name, t.tgenabled::text AS enabled
       FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE NOT t.tgisinternal AND ${isUserSchema('n')}`,
  );
  return rows;
}

/** `ALTER TABLE … DISABLE TRIGGER ALL` puts foreign keys to sleep too, and a dump does not show it. */
async function sleepingKeys(client: pg.ClientBase): Promise<TriggersMatched['faults']> {
  const { rows } = await client.query<{ name: string }>(
    `SELECT DISTINCT format('%I.%I', n.nspname, c.relname) AS name
       FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE t.tgisinternal AND t.tgconstraint <> 0 AND t.tgenabled <> 'O' AND ${isUserSchema('n')}`,
  );
  return rows.map(({ name }) => ({
    what: `foreign keys of ${name} are switched off`,
    mend: `ALTER TABLE ${name} ENABLE TRIGGER ALL`,
  }));
}
