/** Looks for every write that was acknowledged, row by row; and for what nobody wrote. */
import { createHash } from 'node:crypto';
import { withClient, type PgEndpoint } from './endpoint.ts';
import { fillerOf, MARKED, type MarkedTable, type MarkedTableName } from './marks.ts';
import type { RecordedWrite, RedashRecord } from './record.ts';
import { expectedRows, type ExpectedRow } from './expected-rows.ts';
import { SEARCH_VECTORS_WRONG } from './search-vectors.ts';

export interface WritesVerification {
  acknowledged: number;
  /** Acknowledged writes of which a row does not show what it must. */
  lost: number;
  /** COMMITs without an answer, and how many of them took place. */
  unknown: number;
  unknownThere: number;
  /** Rows with a mark of the application that it never wrote there: written twice, or by a write that was refused. */
  unexplained: number;
  /** Unknown writes of which a part is there: no transaction may be. */
  torn: number;
  /** Queries whose search vector is not what their trigger makes of them. */
  searchVectorsWrong: number;
  /** Up to ten findings in words. */
  examples: string[];
}

const EXAMPLES = 10;

interface FoundRow {
  /** Its mark or value; null where it has none of the application. */
  shows: string | null;
  /** md5 of what goes with the mark; null where there is nothing. */
  digest: string | null;
}

class Findings {
  readonly examples: string[] = [];
  readonly lost = new Set<RecordedWrite>();
  readonly shown = new Map<RecordedWrite, Set<boolean>>();
  unexplained = 0;

  example(text: string): void {
    if (this.examples.length < EXAMPLES) this.examples.push(text);
  }
}

/**
 * The database must show what its rows were last written with. Give it the record of an application that has ended, and a role
 * that may read everything.
 * @throws Error of pg
 */
export async function verifyWrites(database: PgEndpoint, record: RedashRecord): Promise<WritesVerification> {
  const findings = new Findings();
  const expected = expectedRows(record);
  const searchVectorsWrong = await withClient(database, 'redash:verify', async (client) => {
    for (const table of Object.keys(MARKED) as MarkedTableName[]) {
      const rows = expected.get(table) ?? new Map<number, ExpectedRow>();
      const { rows: found } = await client.query<{ id: number } & FoundRow>(
        ...question(table, record.run, [...rows.keys()]),
      );
      judgeTable(table, record, rows, new Map(found.map((row) => [row.id, row])), findings);
    }
    const { rows } = await client.query<{ wrong: number }>(SEARCH_VECTORS_WRONG);
    return rows[0]!.wrong;
  });
  if (searchVectorsWrong > 0)
    findings.example(`${searchVectorsWrong} queries have a search vector that their trigger did not make`);
  const unknown = record.writes.filter(({ outcome }) => outcome === 'unknown');
  const torn = unknown.filter((write) => findings.shown.get(write)?.size === 2);
  for (const write of torn) findings.example(`${nameOf(write, record)} has no answer, and a part of it is there`);
  return {
    acknowledged: record.writes.length - unknown.length,
    lost: findings.lost.size,
    unknown: unknown.length,
    unknownThere: unknown.filter((write) => findings.shown.get(write)?.has(true)).length,
    unexplained: findings.unexplained,
    torn: torn.length,
    searchVectorsWrong,
    examples: findings.examples,
  };
}

/** All rows that carry a mark of this run, wherever they are, and those that the record names. */
function question(table: MarkedTableName, run: string, ids: number[]): [string, unknown[]] {
  const { json, value }: MarkedTable = MARKED[table];
  if (value !== undefined) {
    const text = `SELECT id::int, ${value} AS shows, NULL AS digest FROM ${table} WHERE id = ANY($1) OR (${value}) LIKE $2`;
    return [text, [ids, `${run}-%`]];
  }
  // As JSON.stringify writes it, and as jsonb does.
  const marked = `${json}::text LIKE $2 OR ${json}::text LIKE $3`;
  const text = `
    SELECT id::int, CASE WHEN marked THEN ${json}::jsonb ->> 'mark' END AS shows,
      CASE WHEN marked THEN md5(${json}::jsonb ->> 'filler') END AS digest
    FROM (SELECT id, ${json}, ${marked} AS marked FROM ${table}) AS rows WHERE marked OR id = ANY($1)`;
  return [text, [ids, `{"mark":"${run}-%`, `{"mark": "${run}-%`]];
}

function judgeTable(
  table: MarkedTableName,
  record: RedashRecord,
  expected: Map<number, ExpectedRow>,
  found: Map<number, FoundRow>,
  findings: Findings,
): void {
  for (const [id, row] of expected) judgeRow({ table, id, record, expected: row, found: found.get(id), findings });
  for (const [id, { shows }] of found) {
    if (expected.has(id)) continue;
    findings.unexplained++;
    findings.example(`${table} ${id} shows ${shows}, which was never written there`);
  }
}

function judgeRow(row: {
  table: MarkedTableName;
  id: number;
  record: RedashRecord;
  expected: ExpectedRow;
  found: FoundRow | undefined;
  findings: Findings;
}): void {
  const { table, id, record, expected, found, findings } = row;
  const shows = found === undefined ? null : (found.shows ?? 'what was there before');
  for (const { write, value } of expected.unknown) {
    // Where both hold the same (a deletion of what is absent), nothing can be told of it.
    if (value === expected.acknowledged?.value) continue;
    const seen = findings.shown.get(write) ?? new Set<boolean>();
    findings.shown.set(write, seen.add(shows === value));
  }
  const possible = [expected.acknowledged, ...expected.unknown].flatMap((one) => (one ? [one] : []));
  const shown = possible.find(({ value }) => value === shows);
  if (shown) {
    if (shows === null || !MARKED_JSON.has(table) || found!.digest === md5(fillerOf(table, shows))) return;
    findings.lost.add(shown.write);
    findings.example(`${nameOf(shown.write, record)}: ${table} ${id} has its mark, and other contents`);
    return;
  }
  if (expected.acknowledged) {
    const { write, value } = expected.acknowledged;
    findings.lost.add(write);
    findings.example(
      `${nameOf(write, record)}: ${table} ${id} should ${value === null ? 'be deleted' : `show ${value}`}, and ${shows === null ? 'is not there' : `shows ${shows}`}`,
    );
  } else if (found?.shows != null) {
    findings.unexplained++;
    findings.example(`${table} ${id} shows ${found.shows}, of no write that may have been committed`);
  }
}

const MARKED_JSON: ReadonlySet<string> = new Set(
  Object.entries(MARKED).flatMap(([table, how]) => ('json' in how ? [table] : [])),
);

function nameOf({ kind, client, seq, endpoint, at }: RecordedWrite, { endpoints }: RedashRecord): string {
  const { host, port } = endpoints[endpoint]!;
  const when = at === undefined ? 'sent to' : `acknowledged at ${new Date(at).toISOString()} by`;
  return `${kind} ${seq} of client ${client}, ${when} ${host}:${port}`;
}

function md5(text: string): string {
  return createHash('md5').update(text).digest('hex');
}
