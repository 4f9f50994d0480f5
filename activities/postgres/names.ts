/** Names inside SQL: always quoted, so that capitals, dots, quotes and other alphabets are what they are. */
import { escapeIdentifier } from 'pg';
import type { TableId } from '../../spec/postgres-plan.ts';

export const quoted = escapeIdentifier;

/** `"public"."My ""table"""`, for SQL and for casts to regclass. */
export function quotedTable(table: TableId): string {
  return `${quoted(table.schema)}.${quoted(table.name)}`;
}

/** One key for a Map: no name holds a NUL. */
export function tableKey(table: TableId): string {
  return `${table.schema}\0${table.name}`;
}
