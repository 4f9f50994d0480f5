/** What is built after the load: indexes, several at once, then foreign keys, triggers and the rest in their order. */
import pLimit from 'p-limit';
import type pg from 'pg';
import type { Postgres } from '../../spec/kind-postgres.ts';
import { beat } from '../beat.ts';
import { sessionName, withPostgres } from './connect.ts';
import { finishTexts, type SchemaInput } from './schema-copy.ts';
import { createEntry } from './schema-created.ts';
import { ASIDE, builtAfter, entryText, notValid, selectEntries, type Keyed } from './schema-entries.ts';
import { withSchemaSides } from './schema-sides.ts';

export interface FinishedSchema {
  indexes: number;
  foreignKeys: number;
  triggers: number;
  /** Rules, policies, materialized views, …. */
  others: number;
  notes: string[];
}

const INDEXES_AT_ONCE = 3;
const PROGRESS_MS = 1_000;

/**
 * Builds what is missing. Foreign keys are made NOT VALID, those of partitioned tables, where Postgres has no such thing,
 * by `validateForeignKeys`. Twice is the same as once. Where the file says that the schema is there already, nothing is built.
 * @throws the server's error, naming the object
 */
export async function finishSchema({ migration, plan }: SchemaInput): Promise<FinishedSchema> {
  const nothing = { indexes: 0, foreignKeys: 0, triggers: 0, others: 0, notes: [] };
  if (!migration.schema.create) return nothing;
  return withSchemaSides(migration, async (sides) => {
    const [dump, there] = await Promise.all([sides.dumpSource(), sides.dumpTarget()]);
    const { entries } = selectEntries(dump, plan);
    const late = builtAfter(entries, migration.schema.afterLoad);
    const present = new Set(there.map(({ key }) => key));
    const missing = entries.filter(
      ({ dumpId, key, kind }) => late.has(dumpId) && !present.has(key) && !ASIDE.has(kind),
    );
    const built = missing.filter(({ kind, sql }) => kind !== 'FK CONSTRAINT' || notValid(sql) !== undefined);
    await buildAll(migration, sides.target, built);
    const notes = await finishTexts(sides, migration, entries);
    const count = (kind: string) => built.filter((entry) => entry.kind === kind).length;
    const [indexes, foreignKeys, triggers] = [count('INDEX'), count('FK CONSTRAINT'), count('TRIGGER')];
    const others = built.length - indexes - foreignKeys - triggers;
    return { indexes, foreignKeys, triggers, others, notes: notes.slice(0, 20) };
  });
}

/** In the dump's order, which is one in which everything can be made; indexes that follow each other are made at once. */
async function buildAll(migration: Postgres, target: pg.Client, entries: Keyed[]): Promise<void> {
  let done = 0;
  const atOnce = pLimit(INDEXES_AT_ONCE);
  const name = sessionName(migration.id, 'schema');
  const say = (entry: Keyed) =>
    beat({ progress: { text: `building ${entryText(entry)}`, done, total: entries.length } });
  const underWay = new Map<number, Promise<void>>();
  const buildIndex = async (entry: Keyed): Promise<void> => {
    // The index of a partition needs that of its table. What is waited for has no place among those at once.
    await Promise.all(entry.needs.flatMap((id) => underWay.get(id) ?? []));
    await atOnce(() =>
      withPostgres(migration.target, { name }, async (client) => {
        say(entry);
        await createEntry(client, migration.id, entry);
      }),
    );
    done += 1;
  };
  const settle = async () => {
    if (underWay.size === 0) return;
    const stop = watchIndexes(target, () => ({ done, total: entries.length }));
    const results = await Promise.allSettled(underWay.values());
    await stop();
    underWay.clear();
    const failed = results.find((result) => result.status === 'rejected');
    if (failed) throw failed.reason;
  };
  for (const entry of entries) {
    if (entry.kind === 'INDEX') {
      const building = buildIndex(entry);
      building.catch(() => {}); // settle() tells it.
      underWay.set(entry.dumpId, building);
      continue;
    }
    await settle();
    say(entry);
    await createEntry(target, migration.id, entry, entry.kind === 'FK CONSTRAINT' ? notValid(entry.sql)! : entry.sql);
    done += 1;
  }
  await settle();
}

/** Says how far the indexes are that are being built, where the server does (Postgres 12 and up). */
function watchIndexes(client: pg.Client, count: () => { done: number; total: number }): () => Promise<void> {
  let reading: Promise<void> = Promise.resolve();
  const look = async () => {
    try {
      const { rows } = await client.query<{ index: string; phase: string; percent: string | null }>(
        `SELECT coalesce(c.relname::text, t.relname::text) AS index, p.phase,
                round(100.0 * p.blocks_done / nullif(p.blocks_total, 0))::text AS percent
           FROM pg_stat_progress_create_index p
           JOIN pg_class t ON t.oid = p.relid LEFT JOIN pg_class c ON c.oid = p.index_relid
          WHERE p.datname = current_database() ORDER BY 1`,
      );
      const text = rows.map((row) => `${row.index} ${row.phase}${row.percent ? ` ${row.percent} %` : ''}`).join(', ');
      if (text !== '') beat({ progress: { text: `indexes: ${text}`, ...count() } });
    } catch {
      // An older server has no such view; the indexes are built all the same.
    }
  };
  const timer = setInterval(() => {
    reading = reading.then(look);
  }, PROGRESS_MS);
  return async () => {
    clearInterval(timer);
    await reading;
  };
}
