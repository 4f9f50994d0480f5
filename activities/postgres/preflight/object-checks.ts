/** What stands in a schema beside tables, and how it behaves under a load (facts 4.5, 4.7). */
import { tableText } from '../../../spec/postgres-plan.ts';
import { fail, pass, unmet, warn, type Finding } from '../../preflight/check.ts';
import { named, ourRoles, type PostgresCheck, type PostgresContext } from './context.ts';
import { rolesOf, seesAllRows } from './roles.ts';
import { ident, look, relation, sql, undecided, DECIDE } from './scripts.ts';
import { USER_RELATION } from './source-tables.ts';

interface Named {
  schema: string;
  name: string;
}

const kinds = (kind: string) =>
  `SELECT n.nspname AS schema, c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
   WHERE c.relkind = '${kind}' AND ${USER_RELATION} ORDER BY 1, 2`;

/** What belongs to a table, with the table's own names. */
const ofTables = (from: string, tableOid: string, what: string, where: string) =>
  `SELECT n.nspname AS schema, c.relname AS name, ${what} AS what FROM ${from}
   JOIN pg_class c ON c.oid = ${tableOid} JOIN pg_namespace n ON n.oid = c.relnamespace
   WHERE ${where} AND ${USER_RELATION} ORDER BY 1, 2, 3`;

type Part = Named & { what: string };
const partText = (part: Part) => `${tableText(part)}: ${part.what}`;

/** Of the tables that are replicated, their partitions too. */
async function replicatedParts(c: PostgresContext, query: string): Promise<Part[]> {
  const { all } = await c.tables();
  const names = new Set(all.filter(({ treatment }) => treatment === 'replicated').map(tableText));
  return (await c.source.rows<Part>(query)).filter((part) => names.has(tableText(part)));
}

async function rowSecurity(c: PostgresContext): Promise<Finding> {
  const { all } = await c.tables();
  const guarded = all.filter((t) => t.rls && (t.treatment === 'replicated' || t.treatment === 'by-hand'));
  if (guarded.length === 0) return pass('no table has it on');
  for (const side of ['source', 'target'] as const) {
    const roles = await rolesOf(c[side]);
    const blind = ourRoles(c, side).filter((name) => {
      const role = roles.get(name);
      if (!role || seesAllRows(role)) return false;
      // On the target the tables will be the worker's; FORCE holds for owners too.
      const owns = (owner: string) => (side === 'target' ? name === c.migration.target.user : owner === name);
      return guarded.some(({ owner, forceRls }) => !owns(owner) || forceRls);
    });
    if (blind.length > 0) {
      return unmet(
        `policies would hide rows from ${named(blind)} on the ${side}: ${named(guarded.map((t) => `${tableText(t)}${t.forceRls ? ' (forced)' : ''}`))}`,
        sql(side, ...blind.map((name) => `ALTER ROLE ${ident(name)} BYPASSRLS;`)),
      );
    }
  }
  return pass(`on for ${guarded.length} tables, and none of ours is subject to it`);
}

async function triggersAlways(c: PostgresContext): Promise<Finding> {
  const found = await replicatedParts(
    c,
    ofTables('pg_trigger t', 't.tgrelid', 't.tgname', `NOT t.tgisinternal AND t.tgenabled IN ('A', 'R')`),
  );
  if (found.length === 0) return pass('none');
  const text = `ENABLE ALWAYS or REPLICA: ${named(found.map(partText))}`;
  const mend = sql(
    'source',
    '-- they fire for what DMS writes, too. Before the target’s schema is made:',
    DECIDE,
    ...found.map((t) => undecided(`ALTER TABLE ${relation(t)} ENABLE TRIGGER ${ident(t.what)};`)),
  );
  const later = c.migration.schema.create && c.migration.schema.afterLoad.includes('triggers');
  return later
    ? warn(`${text}; they are built after the load, and fire for the changes that follow`, mend)
    : fail(`${text}; they fire for every row of the load`, mend);
}

async function largeObjects(c: PostgresContext): Promise<Finding> {
  const [row] = await c.source.rows<{ count: number }>('SELECT count(*)::float8 AS count FROM pg_largeobject_metadata');
  if (!row?.count) return pass('none');
  const { moved } = await c.tables();
  const pointing = moved.filter((t) => t.columns.some(({ base, type }) => base.name === 'oid' || type === 'lo'));
  const found = `${row.count} large objects, which neither DMS nor COPY moves`;
  if (pointing.length === 0) return warn(`${found}; no table points to one`);
  return fail(`${found}; pointed to from ${named(pointing.map(tableText))}`);
}

/** A check that lists what was found by a query. */
const listing = (
  id: string,
  title: string,
  query: string,
  found: string,
  remedy: string,
  read: (c: PostgresContext) => Promise<string[]>,
): PostgresCheck => ({
  id,
  title,
  severity: 'warn',
  remedy: () => remedy,
  byHand: () => look('source', query),
  run: async (c) => {
    const names = await read(c);
    return names.length === 0 ? pass('none') : unmet(`${found}: ${named(names)}`);
  },
});

const relations = (kind: string) => async (c: PostgresContext) =>
  (await c.source.rows<Named>(kinds(kind))).map(tableText);
const parts = (query: string) => async (c: PostgresContext) => (await replicatedParts(c, query)).map(partText);
const names = (query: string) => async (c: PostgresContext) =>
  (await c.source.rows<{ name: string }>(query)).map(({ name }) => name);

export const objectChecks: readonly PostgresCheck[] = [
  {
    id: 'P.rls',
    title: 'row-level security hides no row from the worker or DMS',
    severity: 'fail',
    cheap: true,
    remedy: () => 'give the roles that read BYPASSRLS',
    byHand: () => look('source', 'SELECT oid::regclass, relforcerowsecurity FROM pg_class WHERE relrowsecurity;'),
    run: rowSecurity,
  },
  {
    id: 'P.triggers_always',
    title: 'no trigger fires for what the replication writes',
    severity: 'warn',
    remedy: () => 'enable them as plain triggers for the time of the migration',
    byHand: () => look('source', `SELECT tgrelid::regclass, tgname FROM pg_trigger WHERE tgenabled IN ('A', 'R');`),
    run: triggersAlways,
  },
  {
    id: 'P.large_objects',
    title: 'there are no large objects',
    severity: 'warn',
    remedy: () =>
      'copy them apart (pg_dump --large-objects), or remove orphans on the source: vacuumlo -n <database> lists them',
    byHand: () => look('source', 'SELECT count(*) FROM pg_largeobject_metadata;'),
    run: largeObjects,
  },
  listing(
    'P.matviews',
    'materialised views',
    kinds('m'),
    'made empty on the target',
    'REFRESH MATERIALIZED VIEW on the target after the switch; they are read empty until then',
    relations('m'),
  ),
  listing(
    'P.foreign_tables',
    'foreign tables',
    kinds('f'),
    'their data is elsewhere, and is not moved',
    'make sure that the target reaches the server they point to, or drop them',
    relations('f'),
  ),
  listing(
    'P.deferrable',
    'deferrable constraints',
    'SELECT conrelid::regclass, conname FROM pg_constraint WHERE condeferrable;',
    'DMS applies a transaction row by row and does not defer them',
    'build them after the load (schema.afterLoad), or copy these tables by hand',
    parts(ofTables('pg_constraint k', 'k.conrelid', 'k.conname', 'k.condeferrable')),
  ),
  listing(
    'P.expression_unique',
    'unique indexes over expressions',
    'SELECT indexrelid::regclass FROM pg_index WHERE indisunique AND indexprs IS NOT NULL;',
    'DMS may apply changes in an order that such an index refuses',
    'build them after the load (schema.afterLoad: indexes)',
    parts(
      ofTables(
        'pg_index i',
        'i.indrelid',
        '(SELECT x.relname FROM pg_class x WHERE x.oid = i.indexrelid)',
        'i.indisunique AND i.indexprs IS NOT NULL',
      ),
    ),
  ),
  listing(
    'P.event_triggers',
    'event triggers',
    'SELECT evtname FROM pg_event_trigger;',
    'they fire for the schema that is made on the target',
    'disable them there until the cutover: ALTER EVENT TRIGGER … DISABLE',
    names(
      `SELECT evtname AS name FROM pg_event_trigger e WHERE evtname NOT LIKE 'awsdms%' AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = e.oid AND d.deptype = 'e') ORDER BY 1`,
    ),
  ),
  listing(
    'P.publications',
    'publications FOR ALL TABLES',
    'SELECT pubname FROM pg_publication WHERE puballtables;',
    'somebody else replicates from here, and gets our marker table too',
    'know who reads them, and what becomes of that after the switch',
    names(`SELECT pubname AS name FROM pg_publication WHERE puballtables ORDER BY 1`),
  ),
];
