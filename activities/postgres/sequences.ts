/**
 * Sequences, inside the fence. From the source's last_value and is_called, of every sequence, owned by a column or not:
 * MAX(column)+1 gives numbers out again that were used and deleted, and reaches no sequence without an owner.
 */
import type pg from 'pg';
import { ErrorType } from '../../spec/errors.ts';
import type { Postgres } from '../../spec/kind-postgres.ts';
import { tableText, type SequenceResult, type TablePlan } from '../../spec/postgres-plan.ts';
import { permanent } from '../errors.ts';
import { sessionName, withPostgres } from './connect.ts';
import { quoted, quotedTable, tableKey } from './names.ts';
import {
  parametersDiffer,
  positionWithMargin,
  readAllSequences,
  sequenceKey,
  type Position,
  type SequenceState,
} from './sequence-values.ts';
import { inTransaction } from './transaction.ts';

/**
 * Sets the target's sequences and reads them back. Twice is the same as once.
 * @throws cutover.Differs where a sequence is missing on the target, has other parameters, or is not what was set
 */
export async function setSequences(input: { migration: Postgres; plan: TablePlan }): Promise<SequenceResult> {
  const { migration, plan } = input;
  const options = { name: sessionName(migration.id, 'sequences') };
  return withPostgres(migration.source, options, (source) =>
    withPostgres(migration.target, options, async (target) => {
      const [wanted, there] = await Promise.all([readAllSequences(source), readAllSequences(target)]);
      const keys = new Set(there.map(sequenceKey));
      const moved = wanted.filter((sequence) => keys.has(sequenceKey(sequence)) || isMoved(sequence, plan));
      requireSame(moved, there);
      if (migration.cutover.sequences.method === 'max-plus-one') return setFromColumns(target, moved);
      const positions = moved.map((sequence) => positionWithMargin(sequence, migration.cutover.sequences.margin));
      await setAll(target, moved, positions);
      return { set: moved.length, missed: [] };
    }),
  );
}

/** Of a sequence that is missing on the target: with a table, or a whole schema, that is left out it need not be there. */
function isMoved(sequence: SequenceState, plan: TablePlan): boolean {
  const isOut = (table: { treatment: string }) => table.treatment === 'left-out' || table.treatment === 'uncovered';
  if (sequence.owner) {
    const owner = plan.tables.find((table) => tableKey(table) === tableKey(sequence.owner!));
    if (owner) return !isOut(owner);
  }
  const beside = plan.tables.filter(({ schema }) => schema === sequence.schema);
  return beside.length === 0 || !beside.every(isOut);
}

function requireSame(wanted: SequenceState[], there: SequenceState[]): void {
  const byKey = new Map(there.map((sequence) => [sequenceKey(sequence), sequence]));
  const wrong = wanted.flatMap((sequence) => {
    const target = byKey.get(sequenceKey(sequence));
    if (!target) return [`${tableText(sequence)} is missing on the target`];
    const difference = parametersDiffer(sequence, target);
    return difference ? [`${tableText(sequence)}: ${difference}`] : [];
  });
  if (wrong.length === 0) return;
  const shown = wrong.slice(0, 10).join('; ');
  throw permanent(ErrorType.differs, `${wrong.length} sequences differ: ${shown}`, {
    remedy: 'create or alter them on the target as they are on the source (CREATE SEQUENCE, ALTER SEQUENCE)',
    facts: { sequences: wrong.slice(0, 20) },
  });
}

/** In one statement, and read back: setval of a role that may not is an error, of a wrong type another. */
async function setAll(target: pg.Client, sequences: SequenceState[], positions: Position[]): Promise<void> {
  if (sequences.length === 0) return;
  await target.query(
    `SELECT setval(name::regclass, value, called) FROM unnest($1::text[], $2::bigint[], $3::bool[]) AS s(name, value, called)`,
    [
      sequences.map(quotedTable),
      positions.map(({ value }) => String(value)),
      positions.map(({ isCalled }) => isCalled),
    ],
  );
  const after = new Map((await readAllSequences(target)).map((sequence) => [sequenceKey(sequence), sequence]));
  for (const [index, sequence] of sequences.entries()) {
    const { value, isCalled } = positions[index]!;
    const found = after.get(sequenceKey(sequence));
    if (found && found.lastValue === value && found.isCalled === isCalled) continue;
    throw permanent(
      ErrorType.differs,
      `the sequence ${tableText(sequence)} was set to ${value}, and is at ${found?.lastValue ?? 'no value'} now`,
      { remedy: 'somebody uses it on the target already: see pg_stat_activity there' },
    );
  }
}

/**
 * The usual runbook's way, made to work: next value = MAX of the owning column + 1 (MIN - 1 where it counts down), within
 * the sequence's bounds. What no number column owns is not reached, and named.
 */
async function setFromColumns(target: pg.Client, sequences: SequenceState[]): Promise<SequenceResult> {
  const reached = sequences.filter(
    ({ owner }) => owner !== undefined && /^(smallint|integer|bigint|numeric)$/.test(owner.columnType),
  );
  await inTransaction(target, async () => {
    for (const { increment, min, max, ...sequence } of reached) {
      const { column, ...table } = sequence.owner!;
      const next =
        increment > 0n
          ? `greatest(coalesce(max(${quoted(column)}), 0) + 1, ${min})`
          : `least(coalesce(min(${quoted(column)}), 0) - 1, ${max})`;
      const bounded = increment > 0n ? `least(${next}, ${max})` : `greatest(${next}, ${min})`;
      await target.query(`SELECT setval($1::regclass, (SELECT ${bounded}::bigint FROM ${quotedTable(table)}), false)`, [
        quotedTable(sequence),
      ]);
    }
  });
  const missed = sequences.filter((sequence) => !reached.includes(sequence)).map(tableText);
  return { set: reached.length, missed };
}
