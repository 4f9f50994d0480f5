/** The schema, source to target, before the load; and the comparison of both at the end. */
import { ErrorType } from '../../spec/errors.ts';
import type { Postgres } from '../../spec/kind-postgres.ts';
import type { TablePlan } from '../../spec/postgres-plan.ts';
import { beat } from '../beat.ts';
import { permanent } from '../errors.ts';
import { hasOwnTable } from './own-schema.ts';
import { compareEntries, diffText, isSameEntry, refuseDifferences, type SchemaDifference } from './schema-compare.ts';
import { createEntry, noteTargetTexts, readCreated, type CreatedRow } from './schema-created.ts';
import { ASIDE, builtAfter, entryText, selectEntries, type Keyed } from './schema-entries.ts';
import { applyRights } from './schema-rights.ts';
import { withSchemaSides, type SchemaSides } from './schema-sides.ts';

export interface SchemaInput {
  migration: Postgres;
  plan: TablePlan;
}

export interface CopiedSchema {
  created: number;
  /** Objects that were there and are the same. */
  same: number;
  /** What is not created because of a table that is left out; at most 50. */
  leftOut: string[];
  /** Roles that are missing, comments that may not be made; at most 20. */
  notes: string[];
}

const DIFFERS_REMEDY =
  'drop or alter the object on the target, so that it is as on the source, or leave its table out; then retry';

/**
 * Creates on the target what is missing of the source's schema, but for what is built after the load. Objects that are
 * there and the same are fine. Twice is the same as once, also after a crash in the middle. With `schema.create: false` it
 * only compares.
 * @throws cutover.Differs, before anything is created, where an object is there and is another; cutover.Invalid where
 *   pg_dump is too old; cutover.Denied
 */
export async function copySchema({ migration, plan }: SchemaInput): Promise<CopiedSchema> {
  return withSchemaSides(migration, async (sides) => {
    await requireOwnSchema(sides);
    const [dump, there] = await Promise.all([sides.dumpSource(), sides.dumpTarget()]);
    const { entries, leftOut } = selectEntries(dump, plan);
    const late = builtAfter(entries, migration.schema.afterLoad);
    const created = await readCreated(sides.target, migration.id);
    const objects = entries.filter(({ kind }) => !ASIDE.has(kind));
    const { missing, same } = sortOut(objects, there, created);
    const now = missing.filter(({ dumpId }) => !late.has(dumpId));
    if (!migration.schema.create) {
      const gone = now.map((entry) => ({ object: entryText(entry), diff: 'missing on the target' }));
      refuseDifferences(gone, 'create it on the target, or let cutover do it: schema.create: true');
      return { created: 0, same, leftOut: leftOut.slice(0, 50), notes: [] };
    }
    for (const [index, entry] of now.entries()) {
      beat({ progress: { text: `creating ${entryText(entry)}`, done: index, total: now.length } });
      await createEntry(sides.target, migration.id, entry);
    }
    const notes = await finishTexts(sides, migration, entries);
    return { created: now.length, same, leftOut: leftOut.slice(0, 50), notes: notes.slice(0, 20) };
  });
}

async function requireOwnSchema({ target }: SchemaSides): Promise<void> {
  if (await hasOwnTable(target, 'created')) return;
  throw permanent(
    ErrorType.notFound,
    'there is no schema cutover on the target: what is created could not be recorded',
  );
}

/** @throws cutover.Differs */
function sortOut(
  objects: readonly Keyed[],
  target: readonly Keyed[],
  created: ReadonlyMap<string, CreatedRow>,
): { missing: Keyed[]; same: number } {
  const there = new Map(target.map((entry) => [entry.key, entry]));
  const missing: Keyed[] = [];
  const differences: SchemaDifference[] = [];
  for (const entry of objects) {
    const other = there.get(entry.key);
    // Every database has it, and a dump does not always say so.
    if (!other && !(entry.kind === 'SCHEMA' && entry.tag === 'public')) missing.push(entry);
    if (other && !isSameEntry(entry, other, created.get(entry.key), true)) {
      differences.push({ object: entryText(entry), diff: diffText(entry.sql, other.sql) });
    }
  }
  refuseDifferences(differences, DIFFERS_REMEDY);
  return { missing, same: objects.length - missing.length };
}

/** Owners, grants and comments of what is there by now, and how the target writes it. */
export async function finishTexts(
  sides: SchemaSides,
  migration: Postgres,
  entries: readonly Keyed[],
): Promise<string[]> {
  const there = await sides.dumpTarget();
  // Not only another version writes it differently: a restored CHECK (state IN (…)) reads otherwise than the first one.
  await noteTargetTexts(sides.target, migration.id, there);
  // What is on an object that comes after the load waits for it.
  const objects = new Set(there.map(({ key }) => key));
  const ids = new Set(entries.filter(({ key }) => objects.has(key)).map(({ dumpId }) => dumpId));
  const known = new Set(entries.map(({ dumpId }) => dumpId));
  const ready = entries.filter(
    ({ kind, needs }) => !ASIDE.has(kind) || needs.every((id) => ids.has(id) || !known.has(id)),
  );
  return applyRights(sides.target, ready, there);
}

/**
 * For the end's proof: every object of the source that was to come is on the target and reads the same.
 * Changes nothing.
 */
export async function compareSchema(input: SchemaInput): Promise<{ equal: boolean; differences: string[] }> {
  const { migration, plan } = input;
  return withSchemaSides(migration, async (sides) => {
    const [source, target] = await Promise.all([sides.dumpSource(), sides.dumpTarget()]);
    const created = await readCreated(sides.target, migration.id);
    const differences = compareEntries(source, target, plan, created);
    const shown = differences.slice(0, 20).map(({ object, diff }) => `${object}: ${diff.replaceAll('\n', ' | ')}`);
    return { equal: differences.length === 0, differences: shown };
  });
}
