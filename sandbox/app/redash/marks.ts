/**
 * What a write leaves in the rows it touches: its mark, which no other write has, and contents that follow from the mark.
 * So it can be told of any row which write it shows, and whether that write arrived whole.
 */
import { createHash } from 'node:crypto';

/** How the mark is found in a table's row. */
export interface MarkedTable {
  /** A text, json or jsonb column: `{"mark":…,"filler":…}`. */
  json?: string;
  /** Or a SQL expression that says by itself what was written. */
  value?: string;
  /** Of the filler, characters: from, to. */
  size?: readonly [number, number];
}

/** Every table that the application writes; each has an integer column `id`. */
export const MARKED = {
  events: { json: 'additional_properties', size: [20, 160] },
  query_results: { json: 'data', size: [400, 6_000] },
  queries: { json: 'options', size: [20, 120] },
  dashboards: { json: 'options', size: [20, 400] },
  visualizations: { json: 'options', size: [100, 900] },
  widgets: { json: 'options', size: [40, 300] },
  alerts: { json: 'options', size: [20, 80] },
  changes: { json: 'change', size: [40, 700] },
  users: { json: 'details', size: [20, 100] },
  api_keys: { value: 'api_key' },
  query_snippets: { value: 'trigger' },
  favorites: { value: "object_type || ' ' || object_id || ' of ' || user_id" },
  alert_subscriptions: { value: "alert_id || ' to ' || user_id" },
} as const satisfies Record<string, MarkedTable>;

export type MarkedTableName = keyof typeof MARKED;

/** One in so many results is large: it must pass as a LOB, not inline. */
const LARGE_RESULT = { oneIn: 40, characters: 120_000 };

/** `run` is letters and digits, so marks of two runs can't be taken for each other. */
export function markOf(run: string, client: number, seq: number): string {
  return `${run}-${client}-${seq}`;
}

/** The JSON text of a write's contents in that table. Always the same for the same mark. */
export function contentOf(table: MarkedTableName, mark: string): string {
  return JSON.stringify({ mark, filler: fillerOf(table, mark) });
}

/** @throws Error for a table whose mark is no JSON */
export function fillerOf(table: MarkedTableName, mark: string): string {
  const { size }: MarkedTable = MARKED[table];
  if (!size) throw new Error(`${table} has no contents that follow from a mark`);
  const digest = createHash('sha256').update(`${table} ${mark}`).digest();
  const [from, to] = size;
  const large = table === 'query_results' && digest.readUInt32BE(0) % LARGE_RESULT.oneIn === 0;
  const length = large ? LARGE_RESULT.characters : from + (digest.readUInt32BE(4) % (to - from + 1));
  // What an application really stores: not ASCII alone, and what JSON and COPY must escape.
  const piece = `${digest.toString('base64')} Ünïcode 数据 \\ "q" \t 🚚 \n`;
  // A cut may leave half of the lorry, which no database takes.
  return piece
    .repeat(Math.ceil(length / piece.length))
    .slice(0, length)
    .replace(/[\uD800-\uDBFF]$/, '');
}
