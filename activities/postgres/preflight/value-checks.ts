/** Values that DMS alters on their way: numbers wider than its own, infinity, what is larger than its LOB limit. */
import prettyBytes from 'pretty-bytes';
import { taskSettingsOf } from '../../../spec/dms-task-settings.ts';
import { fail, pass, unknown, unmet, warn, type Finding } from '../../preflight/check.ts';
import { named, type PostgresCheck, type PostgresContext } from './context.ts';
import { look, relation, ident } from './scripts.ts';
import { isLob } from './source-tables.ts';
import { byHandEntry, columnText, replicatedColumns, scan, sizeOf, type ScannedColumn } from './value-scan.ts';

/** Facts 4.5: NUMERIC without precision and scale goes as (28,6). NaN has no place in it at all. */
const beyond28with6 = (column: string) =>
  `${column} = 'NaN' OR ${column} <> trunc(${column}, 6) OR abs(${column}) >= 1e22`;

/** Facts 4.5: infinity is clamped. */
const infinite = (column: string) => `${column} IN ('infinity', '-infinity')`;

async function altered(
  c: PostgresContext,
  columns: ScannedColumn[],
  condition: (column: string) => string,
  what: string,
): Promise<Finding> {
  if (columns.length === 0) return pass('no such column');
  const { hits, skipped, scanned } = await scan(c, columns, condition);
  if (hits.length > 0) return fail(`${what}: ${named(hits.map(columnText))}`, byHandEntry(hits));
  if (skipped.length > 0) {
    return unknown(
      `too large to be read for it: ${named(skipped.flatMap(({ where }) => where.map(columnText)))}; no such value in ${scanned} other columns`,
      look('source', `${skipped.map(({ sql }) => sql).join(' ')}  -- all false`),
    );
  }
  return pass(`no such value in ${scanned} columns`);
}

interface Largest {
  column: ScannedColumn;
  bytes: number;
}

/** Of LOB columns, what is largest; where a table is too large to be read, at least what its sample shows. */
async function largestLob(c: PostgresContext): Promise<{ largest?: Largest; sampled: ScannedColumn[] }> {
  const columns = await replicatedColumns(c, isLob);
  let largest: Largest | undefined;
  const sampled: ScannedColumn[] = [];
  for (const column of columns) {
    const whole = (await sizeOf(c, column.table)) <= SAMPLE_ABOVE;
    if (!whole) sampled.push(column);
    const from = `${relation(column.table)}${whole ? '' : ' TABLESAMPLE SYSTEM (1)'}`;
    const [row] = await c.source.rows<{ bytes: number | null }>(
      `SELECT max(octet_length(${ident(column.column.name)}::text))::float8 AS bytes FROM ${from}`,
    );
    const bytes = row?.bytes ?? 0;
    if (!largest || bytes > largest.bytes) largest = { column, bytes };
  }
  return { ...(largest ? { largest } : {}), sampled };
}

/** Above this one page in a hundred is read, bytes. */
const SAMPLE_ABOVE = 64 * 1024 ** 2;

async function lobSize(c: PostgresContext): Promise<Finding> {
  const { largest, sampled } = await largestLob(c);
  if (!largest || largest.bytes === 0) return pass('no large columns, or nothing in them');
  const found = `the largest value is ${prettyBytes(largest.bytes, { binary: true })}, in ${columnText(largest.column)}${
    sampled.length > 0 ? `; sampled only: ${named(sampled.map(columnText))}` : ''
  }`;
  const settings = taskSettingsOf(c.migration, { largestLob: largest.bytes });
  const metadata = (settings['TargetMetadata'] ?? {}) as Record<string, unknown>;
  const limit = Number(metadata['LobMaxSize'] ?? 0) * 1024;
  if (metadata['SupportLobs'] === false) {
    return fail(
      `${found}; SupportLobs is false, so such columns are not moved`,
      'in the file: leave SupportLobs out of replication.taskSettings',
    );
  }
  if (metadata['FullLobMode'] === true)
    return warn(
      `${found}; full LOB mode, which moves any size, one row at a time`,
      'nothing need be done; limited mode (replication.load.lob: auto) is many times faster',
    );
  if (largest.bytes > limit) {
    return unmet(
      `${found}; LobMaxSize is ${prettyBytes(limit, { binary: true })}`,
      'in the file: replication.load.lob: auto, or full',
    );
  }
  const room = `${found}; LobMaxSize ${prettyBytes(limit, { binary: true })}`;
  return sampled.length > 0
    ? warn(
        `${room}; a larger one stops the task`,
        'in the file: replication.load.lob: full, if there may be larger ones',
      )
    : pass(room);
}

export const valueChecks: readonly PostgresCheck[] = [
  {
    id: 'P.numeric',
    title: 'numeric columns without precision arrive as they are',
    severity: 'warn',
    remedy: () => 'rehearse the load, or copy such tables by hand',
    byHand: () =>
      look(
        'source',
        `SELECT attrelid::regclass, attname FROM pg_attribute WHERE atttypid = 'numeric'::regtype AND atttypmod = -1;`,
      ),
    run: async (c) => {
      const columns = await replicatedColumns(
        c,
        ({ base, typmod, element }) => !element && base.name === 'numeric' && typmod === -1,
      );
      const finding = await altered(c, columns, beyond28with6, '');
      if (finding.result !== 'fail') return finding;
      return warn(
        `more than numeric(28,6) holds${finding.found}; exact because both endpoints are made with MapUnboundedNumericAsString`,
        `rehearse the load; our own checksums compare them in the end. Or ${finding.remedy}`,
      );
    },
  },
  {
    id: 'P.infinity',
    title: 'no date or timestamp is infinite',
    severity: 'fail',
    remedy: () => 'in the file: copy such tables by hand',
    byHand: () => look('source', `SELECT count(*) FROM a_table WHERE a_column IN ('infinity', '-infinity');`),
    run: async (c) =>
      altered(
        c,
        await replicatedColumns(
          c,
          ({ base, element }) => !element && ['date', 'timestamp', 'timestamptz'].includes(base.name),
        ),
        infinite,
        'DMS clamps infinity to a date',
      ),
  },
  {
    id: 'P.lob_size',
    title: 'no value is larger than the task takes',
    severity: 'fail',
    remedy: () => 'in the file: replication.load.lob: auto, or full',
    byHand: () => look('source', 'SELECT max(octet_length(a_column::text)) FROM a_table;'),
    run: lobSize,
  },
];
