/**
 * Whose fence a role is under, for every database of its server. Roles belong to the server, the record beside a fence to
 * one database: a migration of a neighbouring database would see neither, and open with its own undo what another one
 * holds closed. A role's comment is the one place that all databases share and whoever may fence the role may write.
 */
import type pg from 'pg';
import { ErrorType } from '../../spec/errors.ts';
import { permanent } from '../errors.ts';
import { quoted } from './names.ts';

export interface FenceSign {
  migration: string;
  database: string;
}

const SIGN = / ?\[cutover fence: (\S+) in (\S+)\]/;

/**
 * The signs that hold these roles closed, by role. One of a role that may log in, or of a database that is gone, was left
 * behind by hand and holds nothing.
 */
export async function readSigns(client: pg.ClientBase, roles: readonly string[]): Promise<Map<string, FenceSign>> {
  const signs = new Map<string, FenceSign>();
  for (const [role, text] of await readComments(client, roles)) {
    const found = SIGN.exec(text);
    if (found) signs.set(role, { migration: found[1]!, database: decodeURIComponent(found[2]!) });
  }
  const { rows } = await client.query<{ role: string }>(
    `SELECT given.role FROM unnest($1::text[], $2::text[]) AS given(role, database)
       JOIN pg_roles r ON r.rolname = given.role AND NOT r.rolcanlogin
       JOIN pg_database d ON d.datname = given.database`,
    [[...signs.keys()], [...signs.values()].map(({ database }) => database)],
  );
  const held = new Set(rows.map(({ role }) => role));
  return new Map([...signs].filter(([role]) => held.has(role)));
}

/** @throws cutover.NotOurs where a migration of another database of this server holds one of the roles closed */
export async function refuseForeignSigns(
  client: pg.ClientBase,
  roles: readonly string[],
  ours: FenceSign,
): Promise<void> {
  for (const [role, sign] of await readSigns(client, roles)) {
    if (isSame(sign, ours)) continue;
    throw permanent(
      ErrorType.notOurs,
      `the role ${role} is fenced by the migration ${sign.migration} of the database ${sign.database} on the same server`,
      { remedy: `one at a time: end that migration, or lift its fence (cutover unfence <its file>); then retry` },
    );
  }
}

/** Puts our sign behind what the comment says already. Runs in the transaction that closes the role. */
export async function sign(client: pg.ClientBase, role: string, ours: FenceSign): Promise<void> {
  const text = (await readComments(client, [role])).get(role) ?? '';
  const mark = `[cutover fence: ${ours.migration} in ${encodeURIComponent(ours.database)}]`;
  await comment(client, role, `${text.replace(SIGN, '')} ${mark}`.trim());
}

/** Takes our sign away and leaves the rest of the comment as it was. */
export async function unsign(client: pg.ClientBase, role: string): Promise<void> {
  const text = (await readComments(client, [role])).get(role);
  if (text !== undefined && SIGN.test(text)) await comment(client, role, text.replace(SIGN, ''));
}

export const isSame = (a: FenceSign, b: FenceSign) => a.migration === b.migration && a.database === b.database;

export async function databaseOf(client: pg.ClientBase): Promise<string> {
  const { rows } = await client.query<{ name: string }>('SELECT current_database()::text AS name');
  return rows[0]!.name;
}

async function readComments(client: pg.ClientBase, roles: readonly string[]): Promise<Map<string, string>> {
  const { rows } = await client.query<{ role: string; text: string }>(
    `SELECT rolname::text AS role, shobj_description(oid, 'pg_authid') AS text
       FROM pg_roles WHERE rolname = ANY($1) AND shobj_description(oid, 'pg_authid') IS NOT NULL`,
    [roles],
  );
  return new Map(rows.map(({ role, text }) => [role, text]));
}

async function comment(client: pg.ClientBase, role: string, text: string): Promise<void> {
  // COMMENT takes no parameters.
  const { rows } = await client.query<{ sql: string }>(
    `SELECT format('COMMENT ON ROLE %s IS %s', $1::text, coalesce(quote_literal(nullif($2::text, '')), 'NULL')) AS sql`,
    [quoted(role), text],
  );
  await client.query(rows[0]!.sql);
}
