/**
 * Are two databases the same? Every row of every table, and everything that a table has: by SQL of its own, so that what
 * the product says of itself is not what proves it.
 */
import { compareCatalogs } from './compare-catalog.ts';
import { compareRows } from './compare-rows.ts';
import { compareSequences } from './compare-sequences.ts';
import type { ComparedKind, DatabaseDifference } from './compared.ts';
import { withClient, type PgEndpoint } from './endpoint.ts';
import type { TouchedRows } from './expected-rows.ts';

export interface Comparison {
  tables: number;
  /** Compared one by one; those that the application wrote on the target since are not among them. */
  rows: number;
  /** How many of each kind were compared. */
  compared: Record<ComparedKind, number>;
  differences: DatabaseDifference[];
  ms: number;
}

export interface CompareOptions {
  /** Rows to leave out, by table (of schema public) and `id`: those written on the target since (rowsWrittenThrough). */
  writtenSince?: TouchedRows;
  /** What this role may do is compared as well. */
  applicationRole?: string;
}

/**
 * @param source fenced, or at rest: what is written meanwhile shows as a difference
 * @param target sequences may be further on than the source's, never behind
 * @throws Error of pg
 */
export async function compareDatabases(
  source: PgEndpoint,
  target: PgEndpoint,
  options: CompareOptions = {},
): Promise<Comparison> {
  const began = performance.now();
  return withClient(source, 'redash:compare', (from) =>
    withClient(target, 'redash:compare', async (to) => {
      const catalogs = await compareCatalogs(from, to, options.applicationRole);
      const sequences = await compareSequences(from, to);
      const rows = await compareRows(from, to, options.writtenSince ?? new Map());
      return {
        tables: rows.tables,
        rows: rows.rows,
        compared: { ...catalogs.compared, sequences: sequences.compared, rows: rows.rows },
        differences: [...rows.differences, ...sequences.differences, ...catalogs.differences],
        ms: performance.now() - began,
      };
    }),
  );
}
