/** Whether both servers answer, are primaries, and the source is set up for logical decoding (facts 4.7). */
import { fail, pass, unmet, warn, type Finding } from '../../preflight/check.ts';
import { named, ourRoles, type PostgresCheck, type PostgresContext } from './context.ts';
import { remedyOf } from './remedy-of.ts';
import type { PostgresProbe, Side } from './probe.ts';
import { ident, look, setSetting, sql } from './scripts.ts';

const SETTINGS = (names: string) =>
  look('source', `SELECT name, setting, pending_restart FROM pg_settings WHERE name IN (${names});`);

async function reach(probe: PostgresProbe): Promise<Finding> {
  try {
    await probe.connection();
  } catch (error) {
    return fail(error instanceof Error ? error.message : String(error), remedyOf(error));
  }
  const version = await probe.rows<{ version: string }>('SELECT version()');
  return pass(`${probe.where}: ${version[0]?.version.split(' on ')[0]}`);
}

const reachable = (side: Side): PostgresCheck => ({
  id: `P.${side}`,
  title: `the worker reaches the ${side}`,
  severity: 'fail',
  cheap: true,
  remedy: (c) => `is ${c[side].where} up, and may the worker's address connect (firewall, pg_hba.conf)?`,
  byHand: (c) => `on the worker: psql -h ${c[side].endpoint.host} -p ${c[side].endpoint.port} -l`,
  run: (c) => reach(c[side]),
});

/** New sessions of the worker or the application that could not write. Our own session is read-only, by us. */
async function readOnlyDefaults(c: PostgresContext, side: Side): Promise<Finding> {
  const roles = [...ourRoles(c, side), ...c.migration.cutover.applicationRoles];
  const set = await c[side].rows<{ role: string | null; database: string | null }>(
    `SELECT r.rolname AS role, d.datname AS database
     FROM pg_db_role_setting s LEFT JOIN pg_roles r ON r.oid = s.setrole LEFT JOIN pg_database d ON d.oid = s.setdatabase
     WHERE (s.setdatabase = 0 OR d.datname = current_database()) AND (s.setrole = 0 OR r.rolname = ANY ($1))
       AND EXISTS (SELECT 1 FROM unnest(s.setconfig) e WHERE e ~ '^default_transaction_read_only=(on|true|yes|1)$')`,
    [roles],
  );
  if (set.length > 0) {
    const whose = set.map(({ role, database }) => (role ? `role ${role}` : `database ${database}`));
    const resets = set.map(({ role, database }) => {
      if (!role) return `ALTER DATABASE ${ident(database!)} RESET default_transaction_read_only;`;
      const within = database ? ` IN DATABASE ${ident(database)}` : '';
      return `ALTER ROLE ${ident(role)}${within} RESET default_transaction_read_only;`;
    });
    return unmet(
      `default_transaction_read_only is on for ${named(whose)}`,
      sql(side, 'SET default_transaction_read_only = off;', ...resets),
    );
  }
  const [server] = await c[side].rows<{ value: string }>(
    `SELECT reset_val AS value FROM pg_settings WHERE name = 'default_transaction_read_only'`,
  );
  if (server?.value !== 'on') return pass('not in recovery, and new sessions may write');
  return unmet(
    'default_transaction_read_only is on',
    await setSetting(c[side], 'default_transaction_read_only', 'off'),
  );
}

const primary = (side: Side): PostgresCheck => ({
  id: `P.${side}.primary`,
  title: `the ${side} is a primary that takes writes`,
  severity: 'fail',
  cheap: true,
  remedy: (c) => `in the file: ${side}.host must be the primary's address, not ${c[side].where}`,
  byHand: () => look(side, 'SELECT pg_is_in_recovery(); SHOW default_transaction_read_only;'),
  run: async (c) => {
    const [row] = await c[side].rows<{ standby: boolean }>('SELECT pg_is_in_recovery() AS standby');
    return row?.standby ? unmet('pg_is_in_recovery() is true: it is a standby') : readOnlyDefaults(c, side);
  },
});

/** A number of the server, of which some must be left. @param used counts what is taken. */
const room = (name: string, what: string, used: string): PostgresCheck => ({
  id: `P.${name}`,
  title: `the source has ${what} left for the task`,
  severity: 'fail',
  remedy: () => `raise ${name} on the source`,
  byHand: () => look('source', `SHOW ${name}; SELECT ${used};`),
  run: async ({ source }) => {
    const most = Number(await source.setting(name));
    const [row] = await source.rows<{ used: number }>(`SELECT (${used})::float8 AS used`);
    const taken = row?.used ?? 0;
    const found = `${name} ${most}, ${taken} in use`;
    // One for the task, and one to spare: DMS makes the slot of a restarted task before the old one is gone.
    if (most > 1 && most - taken >= 2) return pass(found);
    return unmet(found, await setSetting(source, name, `${Math.max(10, taken + 5)}`, { restart: true }));
  },
});

async function senderTimeout({ source }: PostgresContext): Promise<Finding> {
  const text = await source.setting('wal_sender_timeout');
  const ms = Number(text);
  const mend = () => setSetting(source, 'wal_sender_timeout', '60s');
  if (ms === 0) return pass('0: never');
  if (ms < 10_000) return unmet(`${ms} ms: DMS takes 0, or at least 10 s`, await mend());
  if (ms >= 300_000)
    return warn(`${ms / 1000} s: a sender whose DMS is gone keeps the slot busy for so long`, await mend());
  return pass(`${ms / 1000} s`);
}

export const serverChecks: readonly PostgresCheck[] = [
  reachable('source'),
  reachable('target'),
  primary('source'),
  primary('target'),
  {
    id: 'P.wal_level',
    title: 'the source writes its log for logical decoding',
    severity: 'fail',
    cheap: true,
    remedy: () => 'set wal_level = logical on the source, and restart it',
    byHand: () => SETTINGS(`'wal_level'`),
    run: async ({ source }) => {
      const level = await source.setting('wal_level');
      if (level === 'logical') return pass('wal_level logical');
      const mend = await setSetting(source, 'wal_level', 'logical', {
        restart: true,
        rdsName: 'rds.logical_replication',
      });
      return unmet(`wal_level ${level}`, {
        ...mend,
        script: mend.script.replace('ParameterValue=logical', 'ParameterValue=1'),
      });
    },
  },
  room('max_replication_slots', 'a replication slot', 'SELECT count(*) FROM pg_replication_slots'),
  room('max_wal_senders', 'a WAL sender', 'SELECT count(*) FROM pg_stat_replication'),
  {
    id: 'P.wal_sender_timeout',
    title: 'the source does not give a busy DMS up too soon',
    severity: 'fail',
    remedy: () => 'set wal_sender_timeout = 60s on the source',
    byHand: () => SETTINGS(`'wal_sender_timeout'`),
    run: senderTimeout,
  },
  {
    id: 'P.pending_restart',
    title: 'no setting of the source waits for a restart',
    severity: 'warn',
    remedy: () => 'restart the source at a quiet hour, before the migration and not in it',
    byHand: () => look('source', 'SELECT name FROM pg_settings WHERE pending_restart;'),
    run: async ({ source }) => {
      const waiting = await source.rows<{ name: string }>(
        `SELECT name FROM pg_settings s WHERE (row_to_json(s)->>'pending_restart')::bool ORDER BY name`,
      );
      if (waiting.length === 0) return pass('none');
      return unmet(`changed, and in force after a restart: ${named(waiting.map(({ name }) => name))}`);
    },
  },
];
