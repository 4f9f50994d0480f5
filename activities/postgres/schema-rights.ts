/**
 * Owners, grants and comments. A role that the target does not have is no reason to stop: it is noted. What the
 * application's own roles lack in the end is found by target-ready.ts before anything opens.
 */
import type pg from 'pg';
import { postgresFailure, sqlState } from './connect.ts';
import { quoted } from './names.ts';
import { ASIDE, entryText, type Keyed } from './schema-entries.ts';
import { inTransaction } from './transaction.ts';

const OWNED =
  /^(TABLE|VIEW|MATERIALIZED VIEW|SEQUENCE|FUNCTION|PROCEDURE|AGGREGATE|TYPE|DOMAIN|SCHEMA|FOREIGN TABLE|COLLATION|CONVERSION|OPERATOR.*|TEXT SEARCH (CONFIGURATION|DICTIONARY)|STATISTICS)$/;
/** No such role; not allowed; not the owner of an extension, as on RDS. */
const TOLERATED = new Set(['42704', '42501', '0LP01', '0A000']);

/**
 * Gives every object the owner it has on the source, where the target has that role, and applies grants and comments that
 * the target does not have yet. Twice is the same as once.
 * @returns what could not be done, and why, each once
 */
export async function applyRights(
  client: pg.Client,
  source: readonly Keyed[],
  target: readonly Keyed[],
): Promise<string[]> {
  const there = new Map(target.map((entry) => [entry.key, entry]));
  const { rows } = await client.query<{ role: string }>(`SELECT rolname::text AS role FROM pg_roles`);
  const roles = new Set(rows.map(({ role }) => role));
  const notes = new Set<string>();
  const attempt = async (sql: string, what: string, mend: string) => {
    try {
      await inTransaction(client, () => client.query(sql));
    } catch (error) {
      const state = sqlState(error);
      if (state === undefined || !TOLERATED.has(state)) {
        throw postgresFailure(error, `${client.host}:${client.port}, ${what}`);
      }
      notes.add(`${what}: ${error instanceof Error ? error.message : state}${mend}`);
    }
  };
  for (const entry of source) {
    if (!OWNED.test(entry.kind) || !entry.dropSql.startsWith('DROP ') || entry.owner === '') continue;
    if (entry.kind === 'SCHEMA' && entry.tag === 'public') continue;
    const now = there.get(entry.key);
    if (!now || now.owner === entry.owner) continue;
    if (!roles.has(entry.owner)) {
      notes.add(`the role ${entry.owner} is not on the target: it owns nothing there`);
      continue;
    }
    const object = entry.dropSql.replace(/^DROP /, '').replace(/;\s*$/, '');
    const mend = `; GRANT ${quoted(entry.owner)} TO ${quoted(client.user ?? '')}, then again`;
    await attempt(`ALTER ${object} OWNER TO ${quoted(entry.owner)}`, `owner of ${entryText(entry)}`, mend);
  }
  for (const entry of source) {
    if (!ASIDE.has(entry.kind) || there.get(entry.key)?.sql === entry.sql) continue;
    // A comment may hold a semicolon at a line's end; grants are a line each.
    const statements =
      entry.kind === 'COMMENT' ? [entry.sql] : entry.sql.split(/;\n/).filter((sql) => sql.trim() !== '');
    for (const sql of statements) await attempt(sql, entryText(entry), '');
  }
  return [...notes];
}
