/** What each row must show, from the record alone: a row belongs to one client, whose writes are in order. */
import type { MarkedTableName } from './marks.ts';
import type { PgAddress } from './endpoint.ts';
import type { RecordedWrite, RedashRecord } from './record.ts';

export interface WrittenValue {
  write: RecordedWrite;
  /** Null where it was deleted. */
  value: string | null;
}

export interface ExpectedRow {
  /** The last acknowledged write to it; undefined where none was, and then it may also be as it was before. */
  acknowledged?: WrittenValue;
  /** Writes after that which were not answered: any of them may be the one that it shows. */
  unknown: WrittenValue[];
}

export type ExpectedRows = Map<MarkedTableName, Map<number, ExpectedRow>>;

export function expectedRows(record: RedashRecord): ExpectedRows {
  const expected: ExpectedRows = new Map();
  for (const write of record.writes) {
    for (const [table, id, value] of write.effects) {
      const rows = expected.get(table) ?? new Map<number, ExpectedRow>();
      expected.set(table, rows);
      const row = rows.get(id);
      if (write.outcome === 'acknowledged') rows.set(id, { acknowledged: { write, value }, unknown: [] });
      else if (row) row.unknown.push({ write, value });
      else rows.set(id, { unknown: [{ write, value }] });
    }
  }
  return expected;
}

export type TouchedRows = Map<string, number[]>;

/** The ids of rows, by table, that were or may have been written through `address`. */
export function rowsWrittenThrough(record: RedashRecord, address: PgAddress): TouchedRows {
  const touched = new Map<string, Set<number>>();
  for (const write of record.writes) {
    const at = record.endpoints[write.endpoint]!;
    if (at.host !== address.host || at.port !== address.port || at.database !== address.database) continue;
    for (const [table, id] of write.effects) touched.set(table, (touched.get(table) ?? new Set<number>()).add(id));
  }
  return new Map([...touched].map(([table, ids]) => [table, [...ids]]));
}
