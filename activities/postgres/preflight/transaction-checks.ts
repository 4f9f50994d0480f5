/** Open transactions: a slot is not made, and a load does not begin, before they have ended (facts 4.6, 4.7). */
import ms from 'ms';
import { pass, unmet, warn, type Finding } from '../../preflight/check.ts';
import { named, type PostgresCheck, type PostgresContext } from './context.ts';
import { DECIDE, literal, look, setSetting, sql, undecided } from './scripts.ts';

async function longTransactions(c: PostgresContext): Promise<Finding> {
  const limit = c.migration.replication.load.transactionConsistencyTimeout;
  const old = await c.source.fresh<{ pid: number; user: string | null; application: string; seconds: number }>(
    `SELECT pid, usename AS user, application_name AS application, extract(epoch FROM now() - xact_start)::float8 AS seconds
     FROM pg_stat_activity a
     WHERE xact_start < now() - $1 * interval '1 ms' AND pid <> pg_backend_pid()
       AND coalesce(row_to_json(a)->>'backend_type', 'client backend') = 'client backend'
     ORDER BY xact_start`,
    [limit],
  );
  if (old.length === 0) return pass(`none older than ${ms(limit)}`);
  const texts = old.map((t) => `pid ${t.pid} of ${t.user} (${t.application || 'no name'}), ${Math.round(t.seconds)} s`);
  return unmet(
    `older than ${ms(limit)}, after which DMS loads without waiting for them: ${named(texts)}`,
    sql(
      'source',
      '-- wait for them, or:',
      DECIDE,
      ...old.map(({ pid }) => undecided(`SELECT pg_terminate_backend(${pid});`)),
    ),
  );
}

async function prepared(c: PostgresContext): Promise<Finding> {
  const found = await c.source.fresh<{ gid: string; owner: string; database: string }>(
    'SELECT gid, owner, database FROM pg_prepared_xacts ORDER BY prepared',
  );
  if (found.length > 0) {
    return unmet(
      `prepared and not ended, so that no slot can be made: ${named(found.map((t) => `${t.gid} of ${t.owner} in ${t.database}`))}`,
      sql(
        'source',
        '-- each by who prepared it, in its own database; or ROLLBACK PREPARED:',
        DECIDE,
        ...found.map(({ gid }) => undecided(`COMMIT PREPARED ${literal(gid)};`)),
      ),
    );
  }
  const most = Number(await c.source.setting('max_prepared_transactions'));
  if (most === 0) return pass('none, and the server takes none');
  return warn(
    `none now; max_prepared_transactions is ${most}, and DMS does not move two-phase commits`,
    await setSetting(c.source, 'max_prepared_transactions', '0', { restart: true }),
  );
}

export const transactionChecks: readonly PostgresCheck[] = [
  {
    id: 'P.long_transactions',
    title: 'no transaction on the source is old',
    severity: 'fail',
    cheap: true,
    remedy: () => 'wait for them, or end them',
    byHand: () => look('source', 'SELECT pid, usename, now() - xact_start FROM pg_stat_activity ORDER BY xact_start;'),
    run: longTransactions,
  },
  {
    id: 'P.prepared_transactions',
    title: 'no transaction on the source is prepared',
    severity: 'fail',
    cheap: true,
    remedy: () => 'COMMIT PREPARED or ROLLBACK PREPARED each',
    byHand: () => look('source', 'SELECT * FROM pg_prepared_xacts;'),
    run: prepared,
  },
];
