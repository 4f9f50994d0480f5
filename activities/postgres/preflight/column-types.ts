/** What becomes of a column's type on its way through DMS (facts 4.5, and the guide's table of Postgres types). Pure. */
import type { BaseType, SourceColumn } from './source-tables.ts';

/**
 * - `moves`: DMS has a type of its own for it
 * - `as-text`: it goes as text, and the target's column, made before the load, takes it or refuses it loudly
 * - `lost`: not moved, altered, or refused
 */
export type Passage = 'moves' | 'as-text' | 'lost';

const MOVES = new Set(
  `bool int2 int4 int8 float4 float8 numeric bpchar char varchar text bytea json jsonb xml uuid
   date time timestamp timestamptz`.split(/\s+/),
);

/** Strings of a length of their own in DMS; money a number of four digits. */
const AS_TEXT = new Set('bit varbit cidr inet macaddr macaddr8 name interval money'.split(' '));

export function passageOf(column: SourceColumn): Passage {
  // The target computes it, and refuses a value: "cannot insert a non-DEFAULT value into column".
  if (column.generated) return 'lost';
  if (column.element) {
    // An array goes as a LOB of text.
    return passageOfType(column.element) === 'lost' ? 'lost' : 'as-text';
  }
  const passage = passageOfType(column.base);
  return passage === 'moves' && column.isDomain ? 'as-text' : passage;
}

function passageOfType(type: BaseType): Passage {
  if (type.kind === 'e') return 'as-text';
  // Composite, range, multirange, pseudo: user-defined all of them.
  if (type.kind !== 'b') return 'lost';
  // An extension's own (hstore, citext, vector, geometry): DMS knows none of them.
  if (type.schema !== 'pg_catalog') return 'lost';
  if (MOVES.has(type.name)) return 'moves';
  // Left: timetz (its zone is dropped), tsvector, tsquery, point, line, lseg, box, path, polygon, circle, oid and the reg… types, pg_lsn, txid_snapshot.
  return AS_TEXT.has(type.name) ? 'as-text' : 'lost';
}
