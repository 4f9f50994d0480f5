/** The objects of a dump that a migration moves: which are left out with their tables, and which are built after the load. */
import type { Postgres } from '../../spec/kind-postgres.ts';
import type { TablePlan } from '../../spec/postgres-plan.ts';
import type { TocEntry } from './dump-toc.ts';
import { tableKey } from './names.ts';

export type AfterLoad = Postgres['schema']['afterLoad'];

/** The same object on both sides has the same key. */
export type Keyed = TocEntry & { key: string };

/** Not objects of their own, and no reason for two schemas to differ. */
export const ASIDE = new Set(['ACL', 'COMMENT', 'DEFAULT ACL']);

/** A tag may be ambiguous (a table `a b` with a trigger `c`, and `a` with `b c`): such entries are told apart by their order. */
export function keyed(entries: readonly TocEntry[]): Keyed[] {
  const seen = new Map<string, number>();
  return entries
    .filter(({ kind, tag }) => !(ASIDE.has(kind) && tag.startsWith('DATABASE ')))
    .map((entry) => {
      const key = `${entry.kind}\0${entry.schema}\0${entry.tag}`;
      const nth = (seen.get(key) ?? 0) + 1;
      seen.set(key, nth);
      return { ...entry, key: nth === 1 ? key : `${key}\0${nth}` };
    });
}

/** `INDEX public.users_email_idx`, for people. */
export function entryText({ kind, schema, tag }: TocEntry): string {
  return `${kind} ${schema === '' ? tag : `${schema}.${tag}`}`;
}

export interface Selected {
  entries: Keyed[];
  /** What is not created, and why, for people. */
  leftOut: string[];
}

const WORTH_NAMING = new Set(['TABLE', 'VIEW', 'MATERIALIZED VIEW', 'FK CONSTRAINT', 'TRIGGER', 'RULE']);

/**
 * Without the tables that are left out, and without everything that needs one of them. A table that came after the plan
 * was made is left out too: the replication does not know it.
 */
export function selectEntries(dump: readonly Keyed[], plan: TablePlan): Selected {
  const treatments = new Map(plan.tables.map((table) => [tableKey(table), table.treatment]));
  const out = new Map<number, string>();
  const tables = new Map(dump.filter(({ kind }) => kind === 'TABLE').map((entry) => [entry.dumpId, entry]));
  // A partition needs its table; whatever is neither in the plan nor a partition is new.
  const isPartition = (entry: TocEntry) => entry.needs.some((id) => tables.has(id));
  for (const entry of tables.values()) {
    const treatment = treatments.get(tableKey({ schema: entry.schema, name: entry.tag }));
    if (treatment === 'left-out' || treatment === 'uncovered') out.set(entry.dumpId, 'left out');
    else if (treatment === undefined && !isPartition(entry)) out.set(entry.dumpId, 'new since the plan was made');
  }
  const leftOut: string[] = [];
  for (const entry of dump) {
    const needed = entry.needs.find((id) => out.has(id));
    const own = out.get(entry.dumpId);
    if (own === undefined && needed === undefined) continue;
    const reason = own ?? `needs ${nameOf(dump, needed!)}`;
    out.set(entry.dumpId, reason);
    // What is inside a table that is left out goes without saying; what only points to one does not.
    if (WORTH_NAMING.has(entry.kind) && !insideTable(entry, tables, out))
      leftOut.push(`${entryText(entry)} (${reason})`);
  }
  return { entries: dump.filter(({ dumpId }) => !out.has(dumpId)), leftOut };
}

function nameOf(dump: readonly Keyed[], dumpId: number): string {
  const entry = dump.find((one) => one.dumpId === dumpId);
  return entry ? entryText(entry) : 'what is left out';
}

/** Of constraints and triggers: the first table that is needed is the one they are on. */
function insideTable(entry: TocEntry, tables: Map<number, Keyed>, out: Map<number, string>): boolean {
  if (!['FK CONSTRAINT', 'TRIGGER', 'RULE'].includes(entry.kind)) return false;
  const on = tablesOf(entry, tables)[0];
  return on !== undefined && out.has(on.dumpId);
}

/** The tables that an entry needs, the one it is on first: its tag is that one's name, a space, and its own. */
export function tablesOf(entry: TocEntry, tables: Map<number, Keyed>): Keyed[] {
  const found = [...new Set(entry.needs)].flatMap((id) => tables.get(id) ?? []);
  const fits = (table: Keyed) => table.schema === entry.schema && entry.tag.startsWith(`${table.tag} `);
  const [on] = found.filter(fits).sort((a, b) => b.tag.length - a.tag.length);
  return on ? [on, ...found.filter((table) => table !== on)] : found;
}

/** The ids of the entries that are built after the load; empty where the file wants everything before it. */
export function builtAfter(entries: readonly Keyed[], afterLoad: AfterLoad): Set<number> {
  const after = new Set<number>();
  if (afterLoad.length === 0) return after;
  const withKey = new Set(
    entries
      .filter(({ kind, sql }) => kind === 'CONSTRAINT' && sql.includes(' PRIMARY KEY '))
      .flatMap(({ needs }) => needs),
  );
  const indexes = new Set(entries.filter(({ kind }) => kind === 'INDEX').map(({ dumpId }) => dumpId));
  for (const entry of entries) {
    // In the order of the dump what is needed comes first.
    if (entry.needs.some((id) => after.has(id)) || isLate(entry)) after.add(entry.dumpId);
  }
  return after;

  function isLate(entry: Keyed): boolean {
    switch (entry.kind) {
      case 'FK CONSTRAINT':
        return afterLoad.includes('foreign-keys');
      case 'TRIGGER':
        return afterLoad.includes('triggers');
      case 'INDEX':
        // Without a primary key a unique index is what a row is found by while changes are applied.
        if (entry.sql.startsWith('CREATE UNIQUE INDEX ') && !entry.needs.some((id) => withKey.has(id))) return false;
        return afterLoad.includes('indexes');
      case 'CONSTRAINT':
        return afterLoad.includes('indexes') && / EXCLUDE /.test(entry.sql);
      case 'INDEX ATTACH':
        return afterLoad.includes('indexes') && entry.needs.some((id) => indexes.has(id) && after.has(id));
      case 'STATISTICS':
        return afterLoad.includes('indexes');
      case 'RULE':
      case 'EVENT TRIGGER':
      case 'MATERIALIZED VIEW':
      case 'POLICY':
      case 'ROW SECURITY':
        return true;
      default:
        return false;
    }
  }
}

/** The statement that makes a foreign key without a look at the rows; undefined where Postgres can't (partitioned tables). */
export function notValid(sql: string): string | undefined {
  if (/ NOT VALID;\s*$/.test(sql)) return sql;
  return sql.startsWith('ALTER TABLE ONLY ') ? sql.replace(/;\s*$/, ' NOT VALID;') : undefined;
}
