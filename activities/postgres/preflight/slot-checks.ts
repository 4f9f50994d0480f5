/** Whether a replication slot can be made, and whether DMS's user gets a replication connection: by trying both. */
import { Client, type ClientConfig } from 'pg';
import { CannotCheck, fail, pass, unknown, unmet, warn, type Finding } from '../../preflight/check.ts';
import { resolveSecret } from '../../secrets/resolve.ts';
import { connectPostgres, tlsOptions } from '../connect.ts';
import { dmsLogin, named, type PostgresCheck, type PostgresContext } from './context.ts';
import { comment, ident, literal, look, relation, setSetting, sql, fileEntries, undecided } from './scripts.ts';

/** Making a slot waits for every transaction that writes. Longer than this, and it is those that are the finding. */
const SLOT_TIMEOUT_MS = 10_000;

/**
 * Makes a slot with test_decoding and drops it. It is a temporary one where the server has them (10 and later): should
 * we die in between, the server drops it, for a slot that nobody reads fills the source's disk.
 */
async function trySlot({ migration, source }: PostgresContext): Promise<Finding> {
  if ((await source.setting('wal_level')) !== 'logical')
    throw new CannotCheck('wal_level is not logical (see P.wal_level)');
  const temporary = (await source.version()) >= 100_000;
  const client = await connectPostgres(migration.source, {
    name: `cutover:${migration.id}:preflight-slot`,
    statementTimeoutMs: SLOT_TIMEOUT_MS,
  });
  try {
    const pid = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
    const slot = `cutover_preflight_${pid.rows[0]?.pid}`;
    await client.query(
      temporary
        ? `SELECT pg_create_logical_replication_slot($1, 'test_decoding', true)`
        : `SELECT pg_create_logical_replication_slot($1, 'test_decoding')`,
      [slot],
    );
    await client.query('SELECT pg_drop_replication_slot($1)', [slot]);
    return pass('made with test_decoding, and dropped');
  } catch (error) {
    return slotRefused(error, migration.source.user);
  } finally {
    await client.end().catch(() => {});
  }
}

function slotRefused(error: unknown, user: string): Finding {
  const { code, message } = error as { code?: string; message: string };
  switch (code) {
    // undefined_file: the plugin's library is not there.
    case '58P01':
      return unmet(
        `the plugin is not installed: ${message}`,
        sql('source', "-- on the source's machine: apt-get install postgresql-contrib  (test_decoding.so is in it)"),
      );
    case '42501':
      return unmet(
        `the worker's role may not: ${message}`,
        sql('source', `ALTER ROLE ${ident(user)} REPLICATION;  -- on RDS: GRANT rds_replication TO ${ident(user)};`),
      );
    case '53400':
      return unmet(`no slot is free: ${message}`, 'see P.max_replication_slots');
    case '57014':
      return unmet(
        `not made within ${SLOT_TIMEOUT_MS / 1000} s: it waits for open transactions`,
        'see P.long_transactions and P.prepared_transactions',
      );
    default:
      throw new CannotCheck(message);
  }
}

/**
 * The line of pg_hba.conf that facts 4.7 asks for, tried as DMS would. What is proved is the user and the line, from the
 * worker's address; that the replication instance's own address is let in, DMS's connection test shows.
 */
async function tryReplicationConnection(c: PostgresContext): Promise<Finding> {
  const { user, password } = dmsLogin(c, 'source');
  const { host, port, database, tls } = c.migration.source;
  if (!password) {
    return unknown(`the password of ${user} is not in the file: give replication.sourceEndpoint.password`);
  }
  const secret = await resolveSecret(password, c.migration.replication.aws);
  const [file] = await c.source.rows<{ file: string }>(`SHOW hba_file`).catch(() => [{ file: 'pg_hba.conf' }]);
  const ssl = tls ? await tlsOptions({ tls }) : false;
  const refused: string[] = [];
  for (const replication of ['true', 'database']) {
    // `replication` is a parameter of the protocol that pg passes on, and its types do not know.
    const settings: ClientConfig & { replication: string } = {
      host,
      port,
      user,
      database,
      password: secret,
      ssl,
      connectionTimeoutMillis: 10_000,
      replication,
    };
    const client = new Client(settings);
    client.on('error', () => {});
    try {
      await client.connect();
      await client.query('IDENTIFY_SYSTEM');
    } catch (error) {
      refused.push(`${replication === 'true' ? 'replication' : database}: ${(error as Error).message}`);
    } finally {
      await client.end().catch(() => {});
    }
  }
  if (refused.length === 0) return pass(`IDENTIFY_SYSTEM as ${user}, from the worker`);
  const { host: address } = c.migration.replication.sourceEndpoint;
  return unmet(
    refused.join('; '),
    sql(
      'source',
      `-- on the source's machine, add to ${file?.file ?? 'pg_hba.conf'} (the replication instance's and the worker's addresses):`,
      comment(`host all         ${user} <address>/32 scram-sha-256`),
      comment(`host replication ${user} <address>/32 scram-sha-256`),
      ...(address ? [`-- (DMS reaches the source at ${address})`] : []),
      comment(`ALTER ROLE ${ident(user)} REPLICATION;  -- where the role is what lacks it`),
      'SELECT pg_reload_conf();',
    ),
  );
}

export const slotChecks: readonly PostgresCheck[] = [
  {
    id: 'P.slot',
    title: 'a logical replication slot can be made on the source',
    severity: 'fail',
    remedy: () => 'see the message; test_decoding comes with postgresql-contrib',
    byHand: () =>
      look('source', `SELECT pg_create_logical_replication_slot('probe', 'test_decoding', true);  -- a temporary one`),
    run: trySlot,
  },
  {
    id: 'P.hba',
    title: "DMS's user gets a replication connection",
    severity: 'fail',
    remedy: () => 'add a line for replication to pg_hba.conf on the source',
    byHand: (c) =>
      `psql "host=${c.source.endpoint.host} port=${c.source.endpoint.port} user=${dmsLogin(c, 'source').user} replication=true" -c IDENTIFY_SYSTEM`,
    run: tryReplicationConnection,
  },
  {
    id: 'P.hba.errors',
    title: "the source's pg_hba.conf has no faulty line",
    severity: 'warn',
    remedy: () => 'mend the line, then: SELECT pg_reload_conf();',
    byHand: () => look('source', 'SELECT line_number, error FROM pg_hba_file_rules WHERE error IS NOT NULL;'),
    run: async ({ source }) => {
      const faulty = await source.rows<{ line: number; error: string }>(
        'SELECT line_number AS line, error FROM pg_hba_file_rules WHERE error IS NOT NULL',
      );
      if (faulty.length === 0) return pass('none');
      return unmet(named(faulty.map(({ line, error }) => `line ${line}: ${error}`)));
    },
  },
  {
    id: 'P.pglogical',
    title: 'the plugin that the file names is there',
    severity: 'fail',
    remedy: () => 'in the file: replication.plugin: test_decoding, which every Postgres has',
    byHand: () =>
      look('source', `SHOW shared_preload_libraries; SELECT * FROM pg_extension WHERE extname = 'pglogical';`),
    run: async (c) => {
      if (c.migration.replication.plugin !== 'pglogical') return pass('test_decoding; see P.slot');
      const libraries = (await c.source.setting('shared_preload_libraries')) ?? '';
      if (!/\bpglogical\b/.test(libraries)) {
        return unmet(
          `shared_preload_libraries is "${libraries}"`,
          await setSetting(c.source, 'shared_preload_libraries', [libraries, 'pglogical'].filter(Boolean).join(','), {
            restart: true,
          }),
        );
      }
      const there = await c.source.rows<object>(`SELECT 1 FROM pg_extension WHERE extname = 'pglogical'`);
      if (there.length === 0)
        return unmet('the extension is not created', sql('source', 'CREATE EXTENSION pglogical;'));
      const full = (await c.tables()).replicated.filter((t) => t.identityFull && t.primaryKey.length === 0);
      if (full.length === 0) return pass('loaded and created');
      return fail(
        `REPLICA IDENTITY FULL does not work with pglogical: ${named(full.map(relation))}`,
        fileEntries('copyByHand', full),
      );
    },
  },
  {
    id: 'P.slot.lost',
    title: 'no slot on the source is lost or holds back much',
    severity: 'warn',
    cheap: true,
    remedy: () => 'drop the slot that nobody reads any more',
    byHand: () => look('source', 'SELECT slot_name, active, wal_status FROM pg_replication_slots;'),
    run: async ({ source }) => {
      const slots = await source.rows<{ name: string; active: boolean; status: string | null; held: number }>(
        `SELECT slot_name AS name, active, row_to_json(s)->>'wal_status' AS status,
           coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn), 0)::float8 AS held FROM pg_replication_slots s`,
      );
      const lost = slots.filter(({ status }) => status === 'lost' || status === 'unreserved');
      const idle = slots.filter(({ active, held }) => !active && held > IDLE_HOLDS);
      const bad = [...new Set([...lost, ...idle])];
      if (bad.length === 0) return pass(slots.length === 0 ? 'none yet' : named(slots.map(({ name }) => name)));
      return warn(
        named(
          bad.map(
            (s) => `${s.name} ${s.status ?? ''}${s.active ? '' : ' inactive'}, ${Math.round(s.held / 2 ** 20)} MiB`,
          ),
        ),
        sql(
          'source',
          '-- a slot that nobody reads keeps the log until the disk is full. Where it is no longer wanted:',
          ...bad.map(({ name }) => undecided(`SELECT pg_drop_replication_slot(${literal(name)});`)),
        ),
      );
    },
  },
];

/** Of a slot that nobody reads, bytes. */
const IDLE_HOLDS = 1024 ** 3;
