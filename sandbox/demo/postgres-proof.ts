/** The end of the Postgres demo: every acknowledged write is looked for, and the two databases are compared whole. */
import Table from 'cli-table3';
import pc from 'picocolors';
import type { PgEndpoint } from '../app/redash/endpoint.ts';
import type { FilledRedash } from '../app/redash/fill.ts';
import type { RedashEndpointStats, RedashStats } from '../app/redash/meter.ts';
import type { RedashRecord } from '../app/redash/record.ts';
import { failuresOf, verifyRedash, type RedashVerification } from '../app/redash/verify.ts';
import { whatLogsIn } from './postgres-fenced.ts';

export interface PostgresProofInput {
  /** With roles that may read everything. */
  source: PgEndpoint;
  target: PgEndpoint;
  filled: FilledRedash;
  record: RedashRecord;
  stats: RedashStats;
  /** From `cutover start` to the end, epoch ms. */
  migration: { from: number; to: number };
  /** From `cutover report --json`. */
  report: { durationMs: number; writePauseMs?: number };
  /** Of the application's role, to try its login on the source. */
  application: PgEndpoint;
}

export interface PostgresProof {
  verification: RedashVerification;
  /** What the old source answers to the application. */
  sourceAnswer: string;
  /** Kinds of transactions with inserts that the target has acknowledged. */
  firstInserts: string[];
  keyConflicts: number;
  /** In words; empty where all is proven. */
  failures: string[];
}

/** Together they use every sequence that the application fills. */
const INSERTING = [
  'create-query',
  'execute',
  'create-dashboard',
  'create-alert',
  'make-key',
  'favour',
  'write-snippet',
];
const FENCED = '28000 may not log in';

export async function provePostgres(input: PostgresProofInput): Promise<PostgresProof> {
  const { source, target, record, stats, application } = input;
  const verification = await verifyRedash(source, target, record);
  const sourceAnswer = await whatLogsIn(application);
  const onTarget = seenBy(target, stats);
  const firstInserts = INSERTING.filter((kind) => (onTarget?.byKind[kind] ?? 0) > 0);
  const failures = failuresOf(verification);
  const missing = INSERTING.filter((kind) => !firstInserts.includes(kind));
  if (!onTarget) failures.push('the application was not sent to the target');
  else if (missing.length > 0) failures.push(`the application has not yet done on the target: ${missing.join(', ')}`);
  const keyConflicts = onTarget?.keyConflicts ?? 0;
  if (keyConflicts > 0) failures.push(`${keyConflicts} inserts on the target met a key conflict`);
  if (sourceAnswer !== FENCED) failures.push(`the old source is not fenced: ${sourceAnswer}`);
  return { verification, sourceAnswer, firstInserts, keyConflicts, failures };
}

function seenBy({ host, port }: PgEndpoint, { endpoints }: RedashStats): RedashEndpointStats | undefined {
  return endpoints.find((endpoint) => endpoint.host === host && endpoint.port === port);
}

const NO_RULES = { mid: '', 'left-mid': '', 'mid-mid': '', 'right-mid': '' };
const STYLE = { style: { head: [], border: [] }, chars: NO_RULES };
const number = (value: number): string => Math.round(value).toLocaleString('en-US');
const ms = (value: number | undefined): string => (value === undefined ? 'not known' : `${number(value)} ms`);

/** The figures, and then, in a table of their own, those that it is all about. */
export function postgresProofTable(input: PostgresProofInput, proof: PostgresProof): string {
  const { filled, stats, migration, report, record, source } = input;
  const { writes, comparison, strayWrites, sequences } = proof.verification;
  const before = stats.endpoints[0]!;
  const onTarget = seenBy(input.target, stats);
  const seconds = ((before.lastAckAt ?? 0) - (before.firstAckAt ?? 0)) / 1000;
  const during = record.writes.filter(({ at }) => at !== undefined && at >= migration.from && at <= migration.to);
  const errors = Object.entries(stats.errors).map(([kind, count]) => `${kind}: ${number(count)}`);
  const { compared } = comparison;
  const figures = new Table({ ...STYLE, colAligns: ['left', 'right'] });
  figures.push(
    ['rows filled into the source', `${number(filled.rows)} in ${Object.keys(filled.byTable).length} tables`],
    ['the migration took, with the wait at its gate', `${(report.durationMs / 1000).toFixed(1)} s`],
    ['transactions acknowledged in all', number(writes.acknowledged)],
    ['  a second, before the cutover', number(before.acknowledged / seconds)],
    ['  during the migration', number(during.length)],
    ['  by the target, after the switch', number(onTarget?.acknowledged ?? 0)],
    [`  by the old source ${source.host}:${source.port}, after the switch`, number(strayWrites)],
    ['errors the application saw (each done again)', errors.length === 0 ? 'none' : errors.join('\n')],
    ['COMMITs without an answer; of them, there', `${number(writes.unknown)}; ${number(writes.unknownThere)}`],
    ['rows compared one by one, source and target', number(comparison.rows)],
    ['search vectors that their trigger did not make', number(writes.searchVectorsWrong)],
    [
      'sequences, indexes, constraints, triggers compared',
      [compared.sequences, compared.indexes, compared.constraints, compared.triggers].map(number).join(', '),
    ],
    [
      'columns, views, functions, comments, privileges compared',
      [compared.columns, compared.views, compared.functions, compared.comments, compared.privileges]
        .map(number)
        .join(', '),
    ],
    [
      'columns that a sequence fills, and is ahead of',
      `${sequences.columns - sequences.behind.length} of ${sequences.columns}`,
    ],
    ['the old source answers to the application', proof.sourceAnswer],
    ['longest that one client waited', ms(stats.longestSwitchGapMs)],
    ['write pause as the worker measured it', ms(report.writePauseMs)],
  );
  const line = (good: boolean, text: string): [string] => [pc.bold(good ? pc.green(text) : pc.red(text))];
  const { lost, unexplained, torn } = writes;
  const differing = [...new Set(comparison.differences.map(({ kind }) => kind))];
  const conflictFree =
    proof.keyConflicts === 0 && sequences.behind.length === 0 && proof.firstInserts.length === INSERTING.length;
  const verdict = new Table(STYLE);
  verdict.push(
    line(lost === 0, `acknowledged writes lost: ${number(lost)}`),
    line(unexplained + torn === 0, `writes that are there twice, or in part: ${number(unexplained + torn)}`),
    line(
      differing.length === 0,
      differing.length === 0
        ? 'rows, sequences, indexes, constraints, triggers: equal'
        : `rows, sequences, indexes, constraints, triggers: DIFFERENT (${differing.join(', ')})`,
    ),
    line(
      conflictFree,
      conflictFree ? 'first inserts on the target: no key conflict' : 'first inserts on the target: NOT PROVEN',
    ),
    [pc.bold(`write pause: ${ms(stats.writePauseMs)}`)],
  );
  return `${figures.toString()}\n${verdict.toString()}`;
}
