/** Whether every table goes some way, and can go the way that it is to go (facts 4.5, 4.7). */
import { tableText } from '../../../spec/postgres-plan.ts';
import { matches } from '../../../spec/postgres-tables.ts';
import { CannotCheck, fail, pass, unmet, warn } from '../../preflight/check.ts';
import { named, type PostgresCheck } from './context.ts';
import { fileEntries, look, relation, sql, undecided, DECIDE } from './scripts.ts';
import { isLob, type SourceColumn, type SourceTable } from './source-tables.ts';

const texts = (tables: readonly SourceTable[]) => named(tables.map(tableText));

const columnTexts = (tables: readonly SourceTable[], which: (column: SourceColumn) => boolean) =>
  named(
    tables.map((table) => {
      const columns = table.columns.filter(which).map(({ name, type }) => `${name} ${type}`);
      return `${tableText(table)} (${columns.join(', ')})`;
    }),
  );

export const tableChecks: readonly PostgresCheck[] = [
  {
    id: 'P.tables.uncovered',
    title: 'every table is replicated, copied by hand, or left out on purpose',
    severity: 'fail',
    cheap: true,
    remedy: () => 'in the file: name them under tables.copyByHand or tables.leaveOut',
    byHand: () => look('source', '\\dt *.*'),
    run: async (c) => {
      const { roots } = await c.tables();
      const uncovered = roots.filter(({ treatment }) => treatment === 'uncovered');
      const count = (treatment: string) => roots.filter((t) => t.treatment === treatment).length;
      if (uncovered.length === 0) {
        return pass(`${count('replicated')} replicated, ${count('by-hand')} by hand, ${count('left-out')} left out`);
      }
      return unmet(
        `the replication leaves out, and nothing else moves: ${texts(uncovered)}`,
        `${fileEntries('copyByHand', uncovered)}, or, where they are not wanted on the target, under leaveOut`,
      );
    },
  },
  {
    id: 'P.tables.none',
    title: 'there is something to replicate',
    severity: 'fail',
    remedy: () => 'in the file: tables.include (or replication.tableMappings) names the tables that DMS is to move',
    byHand: () => look('source', '\\dt *.*'),
    run: async (c) => {
      const { replicated, roots } = await c.tables();
      return replicated.length > 0
        ? pass(`${replicated.length} of ${roots.length} tables`)
        : unmet(`of ${roots.length} tables in ${c.source.where} none is replicated`);
    },
  },
  {
    id: 'P.tables.patterns',
    title: 'every pattern of the file finds a table',
    severity: 'warn',
    remedy: () => 'in the file: correct or drop the pattern; mind upper and lower case, names are taken as they are',
    byHand: () => look('source', '\\dt *.*'),
    run: async (c) => {
      const { roots } = await c.tables();
      const { include, exclude, copyByHand, leaveOut } = c.migration.tables;
      const idle = [...include, ...exclude, ...copyByHand, ...leaveOut].filter(
        (pattern) => !roots.some((table) => matches([pattern], table)),
      );
      return idle.length === 0 ? pass('all do') : unmet(`nothing matches: ${named(idle)}`);
    },
  },
  {
    id: 'P.replica_identity',
    title: 'every replicated table says which row a change was of',
    severity: 'fail',
    remedy: () => 'in the file: copy such tables by hand',
    byHand: () => look('source', `SELECT oid::regclass, relreplident FROM pg_class WHERE relkind IN ('r', 'p');`),
    run: async (c) => {
      const { replicated } = await c.tables();
      const without = replicated.filter(({ identified }) => !identified);
      if (without.length > 0) {
        return unmet(
          `without primary key and replica identity, so that DMS ignores their UPDATE and DELETE: ${texts(without)}`,
          sql(
            'source',
            `-- ${fileEntries('copyByHand', without)}`,
            '-- or a primary key, or where there can be none:',
            ...without.map((table) => `ALTER TABLE ${relation(table)} REPLICA IDENTITY FULL;`),
          ),
        );
      }
      const keyless = replicated.filter(({ primaryKey }) => primaryKey.length === 0);
      if (keyless.length === 0) return pass('each has a primary key');
      return warn(
        `without a primary key DMS does not validate, and a restart of its load may bring rows twice: ${texts(keyless)}`,
        fileEntries('copyByHand', keyless),
      );
    },
  },
  {
    id: 'P.lob_without_key',
    title: 'no table without a primary key has large columns',
    severity: 'fail',
    remedy: () => 'in the file: copy such tables by hand',
    byHand: () => look('source', '\\d+ the tables without a primary key: text, bytea, json, jsonb, xml, arrays'),
    run: async (c) => {
      const { replicated } = await c.tables();
      const lost = replicated.filter((t) => t.primaryKey.length === 0 && t.columns.some(isLob));
      if (lost.length === 0) return pass('none');
      return unmet(`DMS drops these columns silently: ${columnTexts(lost, isLob)}`, fileEntries('copyByHand', lost));
    },
  },
  {
    id: 'P.lob_key',
    title: 'no primary key is of a large type',
    severity: 'fail',
    remedy: () => 'in the file: copy such tables by hand',
    byHand: () => look('source', '\\d the tables whose primary key is text, bytea, json, jsonb or xml'),
    run: async (c) => {
      const { replicated } = await c.tables();
      const isKey = (t: SourceTable) => (column: SourceColumn) => isLob(column) && t.primaryKey.includes(column.name);
      const bad = replicated.filter((t) => t.columns.some(isKey(t)));
      if (bad.length === 0) return pass('none');
      const shown = named(bad.map((t) => columnTexts([t], isKey(t))));
      return unmet(`DMS can't find a row by a LOB: ${shown}`, fileEntries('copyByHand', bad));
    },
  },
  {
    id: 'P.unlogged',
    title: 'every replicated table is in the write-ahead log',
    severity: 'fail',
    remedy: () => 'in the file: copy such tables by hand',
    byHand: () => look('source', `SELECT oid::regclass FROM pg_class WHERE relpersistence = 'u' AND relkind = 'r';`),
    run: async (c) => {
      const unlogged = (await c.tables()).all.filter((t) => t.persistence === 'u' && t.treatment === 'replicated');
      if (unlogged.length === 0) return pass('each is');
      return unmet(
        `unlogged, so that no change of theirs is ever seen: ${texts(unlogged)}`,
        sql(
          'source',
          `-- ${fileEntries('copyByHand', unlogged)}`,
          '-- or (this rewrites the table under an exclusive lock):',
          DECIDE,
          ...unlogged.map((table) => undecided(`ALTER TABLE ${relation(table)} SET LOGGED;`)),
        ),
      );
    },
  },
  {
    id: 'P.inheritance',
    title: 'no replicated table has children whose rows would come twice',
    severity: 'fail',
    remedy: () => 'in the file: copy parent and children by hand',
    byHand: () => look('source', 'SELECT inhparent::regclass, inhrelid::regclass FROM pg_inherits;'),
    run: async (c) => {
      const { all } = await c.tables();
      const byOid = new Map(all.map((table) => [table.oid, table]));
      const parents = new Set(all.flatMap(({ inherits }) => inherits));
      const bad = [...parents].flatMap((oid) => byOid.get(oid) ?? []).filter((t) => t.treatment === 'replicated');
      if (bad.length === 0) return pass('none');
      return fail(
        `a load of the parent reads the children's rows too, and they come again with the children: ${texts(bad)}`,
        fileEntries('copyByHand', bad),
      );
    },
  },
  {
    id: 'P.partitioned',
    title: 'partitioned tables',
    severity: 'warn',
    remedy: () => 'rehearse it, or copy them by hand; add and drop no partition while the migration runs',
    byHand: () => look('source', `SELECT oid::regclass FROM pg_class WHERE relkind = 'p';`),
    run: async (c) => {
      const partitioned = (await c.tables()).replicated.filter(({ kind }) => kind === 'p');
      if (partitioned.length === 0) return pass('none');
      return unmet(
        `DMS does not move ADD, DROP and TRUNCATE of a partition: ${texts(partitioned)}`,
        `add and drop no partition while the migration runs; or ${fileEntries('copyByHand', partitioned)}`,
      );
    },
  },
  {
    id: 'P.case_duplicates',
    title: 'no two names differ in upper and lower case alone',
    severity: 'fail',
    remedy: () => 'in the file: copy one of them by hand, or rename it',
    byHand: () =>
      look(
        'source',
        'SELECT lower(relname), array_agg(oid::regclass) FROM pg_class GROUP BY relnamespace, 1 HAVING count(*) > 1;',
      ),
    run: async (c) => {
      const groups = new Map<string, SourceTable[]>();
      for (const table of (await c.tables()).replicated) {
        const key = `${table.schema}.${table.name}`.toLowerCase();
        groups.set(key, [...(groups.get(key) ?? []), table]);
      }
      const same = [...groups.values()].filter((tables) => tables.length > 1);
      if (same.length === 0) return pass('none');
      return unmet(
        `DMS takes them for one table: ${named(same.map((tables) => tables.map(tableText).join(' = ')))}`,
        fileEntries(
          'copyByHand',
          same.flatMap((tables) => tables.slice(1)),
        ),
      );
    },
  },
];

/** For those who have a plan: what came after it is in no copy. */
export const newTablesCheck: PostgresCheck = {
  id: 'P.tables.new',
  title: 'no table was made since the migration was planned',
  severity: 'fail',
  cheap: true,
  remedy: () => 'drop it, or abort the migration and begin it again',
  byHand: () => look('source', '\\dt *.*'),
  run: async (c) => {
    const { plan } = c;
    if (!plan) throw new CannotCheck('there is no plan');
    const planned = new Set(plan.tables.map(tableText));
    const wanted = (await c.tables()).roots.filter(({ treatment }) => treatment !== 'left-out');
    const since = wanted.filter((table) => !planned.has(tableText(table)));
    if (since.length === 0) return pass(`the ${planned.size} planned`);
    return unmet(`made since, and in no copy: ${texts(since)}`);
  },
};
