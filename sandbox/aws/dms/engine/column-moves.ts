/** How each column type travels: as it is, altered, or not at all (facts/postgres-dms 4.5). */
import { escapeIdentifier } from 'pg';

export interface ColumnFacts {
  name: string;
  /** As to be cast to: no modifier, for a cast to varchar(5) would cut in silence. */
  type: string;
  /** With its modifier; a domain's is its base's. */
  fullType: string;
  /** pg_type's typname, typtype and typcategory; a domain's are its base's. */
  baseName: string;
  baseKind: string;
  category: string;
  modifier: number;
  notNull: boolean;
  generated: boolean;
  identityAlways: boolean;
}

export interface MoveSettings {
  lobs: 'none' | 'full' | 'limited';
  lobMaxSize: number;
  numericAsString: boolean;
  hasKey: boolean;
}

export interface ColumnMove {
  facts: ColumnFacts;
  lob: boolean;
  /** Bytes that a LOB is cut at. */
  cut?: number;
  /** Unbounded numeric: six digits after the point. */
  rounds: boolean;
  /** Timestamps: infinity is clamped. */
  clamps: boolean;
}

const LOBS = new Set(['text', 'json', 'jsonb', 'xml', 'bytea', 'hstore']);
/** What DMS has no type for. The rest of the odd ones (enum, inet, macaddr, interval, uuid) travel as strings. */
const NOT_MOVED = new Set(['tsvector', 'tsquery', 'point', 'line', 'lseg', 'box', 'path', 'polygon', 'circle']);

/** @returns why DMS leaves the column out, or undefined when it moves it. It arrives as the target's default, or NULL. */
export function leftOut(facts: ColumnFacts, settings: MoveSettings): string | undefined {
  if (facts.generated) return 'generated: the target computes it';
  if (NOT_MOVED.has(facts.baseName)) return `the type ${facts.type} is not supported`;
  if (facts.baseKind === 'c') return `the composite type ${facts.type} is not supported`;
  if (facts.baseKind === 'r' || facts.baseKind === 'm') return `the range type ${facts.type} is not supported`;
  if (!isLob(facts)) return undefined;
  if (!settings.hasKey) return 'it is a LOB and the table has no primary key';
  return settings.lobs === 'none' ? 'SupportLobs is off' : undefined;
}

export function isArray(facts: ColumnFacts): boolean {
  return facts.category === 'A';
}

function isLob(facts: ColumnFacts): boolean {
  return LOBS.has(facts.baseName) || isArray(facts);
}

export function moveOf(facts: ColumnFacts, settings: MoveSettings): ColumnMove {
  const lob = isLob(facts);
  return {
    facts,
    lob,
    ...(lob && settings.lobs === 'limited' ? { cut: settings.lobMaxSize } : {}),
    rounds: facts.baseName === 'numeric' && facts.modifier === -1 && !settings.numericAsString,
    clamps: /^(timestamp|timestamptz|date)$/.test(facts.baseName),
  };
}

const LATEST = '9999-12-31 23:59:59';
const EARLIEST = '0001-01-01 00:00:00';

/** The SQL expression that yields the value as it arrives. Applied to a value that has arrived it changes nothing. */
export function movedExpression(move: ColumnMove): string {
  const column = escapeIdentifier(move.facts.name);
  if (move.rounds) return `${column}::numeric(28,6)`;
  if (move.clamps) {
    const as = move.facts.baseName;
    return `CASE ${column} WHEN 'infinity' THEN '${LATEST}'::${as} WHEN '-infinity' THEN '${EARLIEST}'::${as} ELSE ${column} END`;
  }
  // COPY would write t and f, the log writes true and false: a table that DMS made keeps them as text.
  if (move.facts.baseName === 'bool') return `${column}::text`;
  if (move.cut === undefined) return column;
  if (move.facts.baseName === 'bytea') return `substring(${column} for ${move.cut})`;
  return `CASE WHEN octet_length(${column}::text) > ${move.cut} THEN left(${column}::text, ${move.cut}) ELSE ${column}::text END`;
}

/** SQL that is true for a row whose LOB would be cut; undefined when the column can't be. */
export function cutCondition(move: ColumnMove): string | undefined {
  if (move.cut === undefined) return undefined;
  const column = escapeIdentifier(move.facts.name);
  const measured = move.facts.baseName === 'bytea' ? column : `${column}::text`;
  return `octet_length(${measured}) > ${move.cut}`;
}

/** The same for a value of the log. Rounding is left to the target's own SQL (see `arrivingCast`). */
export function movedValue(move: ColumnMove, value: string | null): { value: string | null; wasCut: boolean } {
  if (value === null) return { value, wasCut: false };
  if (move.clamps && value === 'infinity') return { value: LATEST, wasCut: false };
  if (move.clamps && value === '-infinity') return { value: EARLIEST, wasCut: false };
  const { cut } = move;
  if (cut === undefined) return { value, wasCut: false };
  if (move.facts.baseName === 'bytea') {
    const hex = 2 + cut * 2; // \x, then two digits a byte.
    return value.length > hex ? { value: value.slice(0, hex), wasCut: true } : { value, wasCut: false };
  }
  if (Buffer.byteLength(value) <= cut) return { value, wasCut: false };
  // Characters as Postgres counts them in left(): code points.
  return { value: Array.from(value).slice(0, cut).join(''), wasCut: true };
}

/** Casts the text of the log to the target's column. */
export function arrivingCast(text: string, move: ColumnMove, targetType: string): string {
  return move.rounds ? `${text}::numeric(28,6)::${targetType}` : `${text}::${targetType}`;
}

const SAME = new Set([
  'int2',
  'int4',
  'int8',
  'float4',
  'float8',
  'date',
  'text',
  'bytea',
  'bpchar',
  'varchar',
  'numeric',
  'time',
  'timestamp',
]);

/** The type of a column that DMS makes itself (DROP_AND_CREATE): through DMS's own few types, hence not the source's. */
export function dmsColumnType(move: ColumnMove): string {
  const { baseName, fullType, baseKind } = move.facts;
  if (move.rounds) return 'numeric(28,6)';
  if (baseKind === 'e') return 'varchar(64)';
  if (SAME.has(baseName)) return fullType;
  if (baseName === 'timestamptz') return 'timestamp(6)';
  if (baseName === 'bool') return 'varchar(5)'; // MapBooleanAsBoolean is off unless asked for.
  if (baseName === 'uuid') return 'varchar(36)';
  if (move.lob) return 'text';
  return 'varchar(255)';
}
