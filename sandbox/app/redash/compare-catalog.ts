/** What belongs to the tables, by Postgres's own definitions of it. */
import type { ClientBase } from 'pg';
import { NOT_COMPARED, type ComparedKind, type DatabaseDifference } from './compared.ts';

const OF_TABLE = `pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace`;

/** Each gives a name and a definition; constraints also the table that they are of. */
const QUESTIONS: Record<Exclude<ComparedKind, 'rows' | 'sequences' | 'privileges'>, string> = {
  columns: `
    SELECT format('%s.%s.%s', n.nspname, c.relname, a.attname) AS name,
      concat_ws(' ', format_type(a.atttypid, a.atttypmod), CASE WHEN a.attnotnull THEN 'NOT NULL' END,
        'default ' || pg_get_expr(d.adbin, d.adrelid), 'identity ' || nullif(a.attidentity::text, ''), 'generated ' || nullif(a.attgenerated::text, ''),
        'collate ' || (SELECT collname FROM pg_collation WHERE oid = a.attcollation)) AS definition
    FROM ${OF_TABLE} JOIN pg_attribute a ON a.attrelid = c.oid LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
    WHERE c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped AND ${NOT_COMPARED}`,
  indexes: `
    SELECT format('%s.%s.%s', n.nspname, c.relname, x.relname) AS name,
      concat_ws(' ', pg_get_indexdef(i.indexrelid), CASE WHEN NOT i.indisvalid OR NOT i.indisready THEN 'INVALID' END,
        CASE WHEN i.indisclustered THEN 'CLUSTERED' END, CASE WHEN i.indisreplident THEN 'REPLICA IDENTITY' END) AS definition
    FROM ${OF_TABLE} JOIN pg_index i ON i.indrelid = c.oid JOIN pg_class x ON x.oid = i.indexrelid
    WHERE c.relkind IN ('r', 'p', 'm') AND ${NOT_COMPARED}`,
  constraints: `
    SELECT format('%s.%s.%s', n.nspname, c.relname, k.conname) AS name, pg_get_constraintdef(k.oid) AS definition, c.oid::regclass::text AS relation
    FROM ${OF_TABLE} JOIN pg_constraint k ON k.conrelid = c.oid WHERE ${NOT_COMPARED}`,
  // Those that keep foreign keys are internal, numbered by their oid, and can be switched off like the others.
  triggers: `
    SELECT CASE WHEN t.tgisinternal THEN format('%s.%s.%s %s', n.nspname, c.relname, k.conname, t.tgfoid::regproc)
      ELSE format('%s.%s.%s', n.nspname, c.relname, t.tgname) END AS name,
      concat_ws(' ', CASE WHEN NOT t.tgisinternal THEN pg_get_triggerdef(t.oid) END,
        CASE t.tgenabled WHEN 'O' THEN 'enabled' WHEN 'D' THEN 'DISABLED' WHEN 'R' THEN 'REPLICA' ELSE 'ALWAYS' END) AS definition
    FROM ${OF_TABLE} JOIN pg_trigger t ON t.tgrelid = c.oid LEFT JOIN pg_constraint k ON k.oid = t.tgconstraint WHERE ${NOT_COMPARED}`,
  views: `
    SELECT format('%s.%s', n.nspname, c.relname) AS name, pg_get_viewdef(c.oid) AS definition
    FROM ${OF_TABLE} WHERE c.relkind IN ('v', 'm') AND ${NOT_COMPARED}`,
  functions: `
    SELECT p.oid::regprocedure::text AS name, pg_get_functiondef(p.oid) AS definition
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE p.prokind IN ('f', 'p') AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'cutover') AND n.nspname NOT LIKE 'awsdms%'
      AND p.proname NOT LIKE 'awsdms%'`,
  comments: `
    SELECT format('%s.%s%s', n.nspname, c.relname, coalesce('.' || a.attname, '')) AS name, d.description AS definition
    FROM ${OF_TABLE} JOIN pg_description d ON d.classoid = 'pg_class'::regclass AND d.objoid = c.oid
    LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.objsubid AND d.objsubid > 0 WHERE ${NOT_COMPARED}`,
};

const PRIVILEGES = `
  SELECT format('%s.%s for %s', n.nspname, c.relname, r.rolname) AS name,
    concat_ws(' ', CASE WHEN NOT has_schema_privilege(r.oid, n.oid, 'USAGE') THEN 'SCHEMA SHUT' END, (SELECT string_agg(privilege, ' ') FROM (
      SELECT privilege FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS privilege
        WHERE c.relkind <> 'S' AND has_table_privilege(r.oid, c.oid, privilege)
      UNION ALL SELECT privilege FROM unnest(ARRAY['USAGE', 'SELECT', 'UPDATE']) AS privilege
        WHERE c.relkind = 'S' AND has_sequence_privilege(r.oid, c.oid, privilege)) AS held)) AS definition
  FROM ${OF_TABLE} CROSS JOIN pg_roles r WHERE r.rolname = $1 AND c.relkind IN ('r', 'p', 'v', 'm', 'S') AND ${NOT_COMPARED}`;

type Kind = keyof typeof QUESTIONS | 'privileges';

export async function compareCatalogs(
  source: ClientBase,
  target: ClientBase,
  applicationRole?: string,
): Promise<{ compared: Record<Kind, number>; differences: DatabaseDifference[] }> {
  const questions: [Kind, string, unknown[]][] = (Object.keys(QUESTIONS) as (keyof typeof QUESTIONS)[]).map((kind) => [
    kind,
    QUESTIONS[kind],
    [],
  ]);
  if (applicationRole !== undefined) questions.push(['privileges', PRIVILEGES, [applicationRole]]);
  const differences: DatabaseDifference[] = [];
  const compared = { privileges: 0 } as Record<Kind, number>;
  for (const [kind, text, values] of questions) {
    const [from, to] = await Promise.all([source, target].map((client) => definitions(client, text, values)));
    compared[kind] = from!.size;
    for (const name of new Set([...from!.keys(), ...to!.keys()])) {
      const [here, there] = [from!.get(name) ?? NOTHING, to!.get(name) ?? NOTHING];
      if (here.definition === there.definition || (await isSameCheck(target, here, there))) continue;
      differences.push({ kind, name, source: here.definition, target: there.definition });
    }
  }
  return { compared, differences };
}

interface Definition {
  definition: string;
  relation?: string;
}

const NOTHING: Definition = { definition: 'nothing' };

async function definitions(client: ClientBase, text: string, values: unknown[]): Promise<Map<string, Definition>> {
  const { rows } = await client.query<Definition & { name: string }>(text, values);
  return new Map(rows.map((row) => [row.name, row]));
}

/**
 * Postgres writes `state IN ('a', 'b')` of a varchar in another way once it has read what it wrote itself, as it does when a dump
 * is restored. So the target is asked how it writes the source's condition, on a table that is gone again at once.
 */
async function isSameCheck(target: ClientBase, here: Definition, there: Definition): Promise<boolean> {
  if (there.relation === undefined || ![here, there].every(({ definition }) => definition.startsWith('CHECK ')))
    return false;
  await target.query('BEGIN');
  try {
    await target.query(`CREATE TEMP TABLE as_written (LIKE ${there.relation})`);
    await target.query(`ALTER TABLE as_written ADD CONSTRAINT asked ${here.definition}`);
    const { rows } = await target.query<Definition>(
      `SELECT pg_get_constraintdef(oid) AS definition FROM pg_constraint WHERE conrelid = 'as_written'::regclass AND conname = 'asked'`,
    );
    return rows[0]?.definition === there.definition;
  } catch {
    return false; // A condition that the target can't even read is another one.
  } finally {
    await target.query('ROLLBACK');
  }
}
