/** May the application's roles do on the target what they may on the source? */
import type pg from 'pg';
import { quotedTable } from './names.ts';
import type { PlannedTable } from '../../spec/postgres-plan.ts';
import { readAllSequences } from './sequence-values.ts';
import { quoted } from './names.ts';

const ON_TABLES = ['SELECT', 'INSERT', 'UPDATE', 'DELETE'];

/** The GRANT statements that are missing on the target. */
export async function missingGrants(
  sides: { source: pg.ClientBase; target: pg.ClientBase },
  roles: readonly string[],
  tables: readonly PlannedTable[],
): Promise<string[]> {
  const sequences = (await readAllSequences(sides.target)).map(quotedTable);
  const schemas = [...new Set(tables.map(({ schema }) => schema))].map(quoted);
  const wanted = [
    ...schemas.map((name) => ({ kind: 'SCHEMA', name, rights: ['USAGE'] })),
    ...tables.map((table) => ({ kind: 'TABLE', name: quotedTable(table), rights: ON_TABLES })),
    ...sequences.map((name) => ({ kind: 'SEQUENCE', name, rights: ['USAGE'] })),
  ];
  const [here, there] = await Promise.all([
    rightsOf(sides.source, roles, wanted),
    rightsOf(sides.target, roles, wanted),
  ]);
  const missing = new Map<string, string[]>();
  for (const right of here) {
    if (there.has(right)) continue;
    const [role, kind, name, privilege] = right.split('\0') as [string, string, string, string];
    const key = `ON ${kind} ${name} TO ${quoted(role)}`;
    missing.set(key, [...(missing.get(key) ?? []), privilege]);
  }
  return [...missing].map(([on, privileges]) => `GRANT ${privileges.join(', ')} ${on}`);
}

/** What each of the roles may, of what is asked for; objects that are not there are passed over. */
async function rightsOf(
  client: pg.ClientBase,
  roles: readonly string[],
  wanted: readonly { kind: string; name: string; rights: string[] }[],
): Promise<Set<string>> {
  const flat = wanted.flatMap(({ kind, name, rights }) => rights.map((right) => ({ kind, name, right })));
  const { rows } = await client.query<{ role: string; kind: string; name: string; right: string }>(
    `SELECT r.rolname::text AS role, w.kind, w.name, w."right"
       FROM unnest($1::text[], $2::text[], $3::text[]) AS w(kind, name, "right")
       JOIN pg_roles r ON r.rolname = ANY($4)
      WHERE CASE w.kind
              WHEN 'TABLE' THEN to_regclass(w.name) IS NOT NULL AND has_table_privilege(r.oid, to_regclass(w.name)::oid, w."right")
              WHEN 'SEQUENCE' THEN to_regclass(w.name) IS NOT NULL AND has_sequence_privilege(r.oid, to_regclass(w.name)::oid, w."right")
              ELSE to_regnamespace(w.name) IS NOT NULL AND has_schema_privilege(r.oid, to_regnamespace(w.name)::oid, w."right")
            END`,
    [flat.map(({ kind }) => kind), flat.map(({ name }) => name), flat.map(({ right }) => right), roles],
  );
  return new Set(rows.map((row) => [row.role, row.kind, row.name, row.right].join('\0')));
}
