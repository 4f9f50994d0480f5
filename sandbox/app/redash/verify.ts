/** The proof: nothing that was acknowledged is lost, and the target is the source. */
import { compareDatabases, type Comparison } from './compare.ts';
import { columnsAheadOfTheirSequence, type FedColumns } from './compare-sequences.ts';
import { withClient, type PgAddress, type PgEndpoint } from './endpoint.ts';
import { rowsWrittenThrough } from './expected-rows.ts';
import type { RedashRecord } from './record.ts';
import { APPLICATION_ROLE } from './roles.ts';
import { verifyWrites, type WritesVerification } from './verify-writes.ts';

export interface RedashVerification {
  writes: WritesVerification;
  comparison: Comparison;
  sequences: FedColumns;
  /** Acknowledged by the source after the target had acknowledged one. */
  strayWrites: number;
}

/**
 * For the state after a switch: the source fenced, the application ended. What it wrote on the target since is judged by the
 * record, every other row by the source's own.
 * @param source with a role that may read everything and is not fenced; so is `target`
 * @throws Error of pg
 */
export async function verifyRedash(
  source: PgEndpoint,
  target: PgEndpoint,
  record: RedashRecord,
): Promise<RedashVerification> {
  const writtenSince = rowsWrittenThrough(record, target);
  const writes = await verifyWrites(target, record);
  const sequences = await withClient(target, 'redash:verify', columnsAheadOfTheirSequence);
  const comparison = await compareDatabases(source, target, { writtenSince, applicationRole: APPLICATION_ROLE });
  return { writes, comparison, sequences, strayWrites: strayWrites(record, source, target) };
}

function strayWrites(record: RedashRecord, source: PgAddress, target: PgAddress): number {
  const by = (address: PgAddress): number[] =>
    record.writes.flatMap(({ endpoint, at }) => {
      const { host, port, database } = record.endpoints[endpoint]!;
      const same = host === address.host && port === address.port && database === address.database;
      return same && at !== undefined ? [at] : [];
    });
  const first = by(target).reduce((earliest, at) => Math.min(earliest, at), Infinity);
  return by(source).filter((at) => at > first).length;
}

/** In words; empty where all is proven. */
export function failuresOf({ writes, comparison, sequences, strayWrites }: RedashVerification): string[] {
  const failures: string[] = [];
  if (writes.lost > 0) failures.push(`${writes.lost} acknowledged writes are lost`);
  if (writes.unexplained > 0) failures.push(`${writes.unexplained} rows show a write that was never made there`);
  if (writes.torn > 0) failures.push(`${writes.torn} transactions are there in part`);
  if (writes.searchVectorsWrong > 0) failures.push(`${writes.searchVectorsWrong} search vectors are wrong`);
  failures.push(...writes.examples);
  if (strayWrites > 0) failures.push(`the source acknowledged ${strayWrites} writes after the switch`);
  for (const column of sequences.behind) failures.push(`the next inserts will meet a key conflict: ${column}`);
  for (const { kind, name, source, target } of comparison.differences)
    failures.push(`${kind} differ: ${name}: source: ${source}; target: ${target}`);
  return failures;
}
