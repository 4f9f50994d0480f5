/** Source against target: not the same, and not too different. */
import { majorOf } from '../server-version.ts';
import { CannotCheck, fail, pass, unmet, warn, type Finding } from '../../preflight/check.ts';
import { named, type PostgresCheck, type PostgresContext } from './context.ts';
import { pgDumpFits } from './pg-dump.ts';
import type { PostgresProbe } from './probe.ts';
import { ident, look, sql } from './scripts.ts';

/** What tells one database from another, whatever name it was reached by. */
async function identity(probe: PostgresProbe): Promise<string> {
  const [row] = await probe.rows<{ id: string }>(
    `SELECT concat_ws('/', pg_postmaster_start_time(), current_setting('port'), d.oid, d.datname,
       (SELECT min(oid) FROM pg_roles WHERE oid > 16383), current_setting('server_version')) AS id
     FROM pg_database d WHERE d.datname = current_database()`,
  );
  if (!row) throw new CannotCheck(`${probe.where} does not say which database it is`);
  return row.id;
}

async function versions(c: PostgresContext): Promise<Finding> {
  const [from, to] = await Promise.all([c.source.version(), c.target.version()]);
  const found = `source ${majorOf(from)}, target ${majorOf(to)}`;
  if (from < 90_400) return fail(`${found}: DMS reads 9.4 and later`, 'upgrade the source, or move it by pg_dump');
  if (majorOf(to) < majorOf(from)) {
    return unmet(`${found}: the schema may not be understood by an older server`);
  }
  return pass(found);
}

interface Locale {
  encoding: string;
  collate: string;
  ctype: string;
  provider: string | null;
}

async function locales(c: PostgresContext): Promise<[Locale, Locale]> {
  const read = async (probe: PostgresProbe) => {
    const [row] = await probe.rows<Locale>(
      `SELECT pg_encoding_to_char(encoding) AS encoding, datcollate AS collate, datctype AS ctype,
         row_to_json(d)->>'datlocprovider' AS provider FROM pg_database d WHERE datname = current_database()`,
    );
    if (!row) throw new CannotCheck(`${probe.where} does not say what its encoding is`);
    return row;
  };
  return Promise.all([read(c.source), read(c.target)]);
}

async function extensions(c: PostgresContext): Promise<Finding> {
  interface Row {
    name: string;
    version: string;
  }
  const [wanted, there, available] = await Promise.all([
    c.source.rows<Row>(
      `SELECT extname AS name, extversion AS version FROM pg_extension WHERE extname <> 'plpgsql' ORDER BY 1`,
    ),
    c.target.rows<Row>('SELECT extname AS name, extversion AS version FROM pg_extension'),
    c.target.rows<{ name: string }>('SELECT name FROM pg_available_extensions'),
  ]);
  const installed = new Map(there.map(({ name, version }) => [name, version]));
  const missing = wanted.filter(({ name }) => !installed.has(name));
  const none = missing.filter(({ name }) => !available.some((a) => a.name === name));
  if (none.length > 0) {
    return unmet(
      `the target can't have: ${named(none.map(({ name }) => name))}`,
      'install them on the target; where nothing uses one, drop it on the source: DROP EXTENSION',
    );
  }
  if (missing.length > 0 && !c.migration.schema.create) {
    return unmet(
      `not on the target: ${named(missing.map(({ name }) => name))}`,
      sql('target', ...missing.map(({ name }) => `CREATE EXTENSION ${ident(name)};`)),
    );
  }
  const other = wanted.filter(({ name, version }) => installed.has(name) && installed.get(name) !== version);
  if (other.length > 0) {
    return warn(
      `of another version on the target: ${named(other.map((e) => `${e.name} ${e.version} → ${installed.get(e.name)}`))}`,
      sql('target', ...other.map(({ name }) => `ALTER EXTENSION ${ident(name)} UPDATE;`)),
    );
  }
  return pass(
    wanted.length === 0 ? 'the source has none' : named(wanted.map(({ name, version }) => `${name} ${version}`)),
  );
}

export const bothSidesChecks: readonly PostgresCheck[] = [
  {
    id: 'P.not_the_same',
    title: 'source and target are two databases',
    severity: 'fail',
    cheap: true,
    remedy: (c) => `in the file: source and target both lead to ${c.source.where}; the load would empty it`,
    byHand: () => 'compare on both: SELECT pg_postmaster_start_time(), current_database();',
    run: async (c) => {
      const [source, target] = await Promise.all([identity(c.source), identity(c.target)]);
      return source === target
        ? unmet(`${c.source.where} and ${c.target.where} are the same database`)
        : pass('they are');
    },
  },
  {
    id: 'P.version',
    title: 'the target is not older than the source',
    severity: 'fail',
    remedy: () => 'make the target of the same or a later version',
    byHand: () => 'on both: SHOW server_version;',
    run: versions,
  },
  {
    id: 'P.encoding',
    title: 'the target has the encoding of the source',
    severity: 'fail',
    remedy: () => 'make the target database with the encoding of the source',
    byHand: () => 'on both: SELECT pg_encoding_to_char(encoding) FROM pg_database WHERE datname = current_database();',
    run: async (c) => {
      const [source, target] = await locales(c);
      if (source.encoding === target.encoding) return pass(source.encoding);
      const found = `source ${source.encoding}, target ${target.encoding}`;
      // UTF8 holds whatever the source has; the bytes differ, the text doesn't.
      if (target.encoding === 'UTF8' && source.encoding !== 'SQL_ASCII')
        return warn(found, 'nothing need be done: UTF8 holds it all');
      return unmet(found, `make the target with: CREATE DATABASE … ENCODING '${source.encoding}' TEMPLATE template0`);
    },
  },
  {
    id: 'P.collation',
    title: 'the target sorts as the source does',
    severity: 'warn',
    remedy: () => 'make the target database with the collation of the source',
    byHand: () => 'on both: SELECT datcollate, datctype FROM pg_database WHERE datname = current_database();',
    run: async (c) => {
      const text = (l: Locale) => [l.collate, l.ctype, l.provider === 'i' ? 'icu' : ''].filter(Boolean).join('/');
      const [source, target] = await locales(c);
      if (text(source) === text(target)) return pass(text(source));
      return unmet(
        `source ${text(source)}, target ${text(target)}: another order in results and indexes`,
        `make the target with: CREATE DATABASE … LC_COLLATE '${source.collate}' LC_CTYPE '${source.ctype}' TEMPLATE template0; or set ValidationSettings.HandleCollationDiff: true and know that ORDER BY differs`,
      );
    },
  },
  {
    id: 'P.extensions',
    title: 'the target has the source’s extensions',
    severity: 'fail',
    remedy: () => 'install them on the target',
    byHand: () => look('target', 'SELECT name FROM pg_available_extensions;'),
    run: extensions,
  },
  {
    id: 'P.pg_dump',
    title: 'the worker has a pg_dump that reads the source',
    severity: 'fail',
    remedy: () => 'install the client programs of the source’s version, or a later one, on the worker',
    byHand: () => 'on the worker: pg_dump --version',
    run: pgDumpFits,
  },
];
