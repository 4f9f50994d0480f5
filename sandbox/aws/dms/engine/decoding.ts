/** Reads what the output plugin test_decoding writes, the plugin that DMS uses on a Postgres without pglogical. */

/** null: SQL's NULL; undefined: a value in TOAST that the UPDATE did not touch, and which the log does not hold. */
export type Tuple = Map<string, string | null | undefined>;

export type Decoded =
  | { what: 'begin'; xid: number }
  /** `at`: epoch ms of the commit. */
  | { what: 'commit'; at: number }
  | { what: 'change'; op: 'insert' | 'update' | 'delete'; table: string; old?: Tuple; row?: Tuple }
  | { what: 'truncate'; tables: string[] }
  | { what: 'other' };

/** `schema.name`, quoted as Postgres quotes, is how the log names a table; `tableKey` makes the same from plain names. */
export type TableKey = string;

export function tableKey(schema: string, table: string): TableKey {
  return JSON.stringify([schema, table]);
}

/**
 * One message of the stream.
 * @param wanted tables whose rows are taken apart; the rest is `other`
 * @throws Error with the message's beginning when it is no test_decoding output: going on would lose rows
 */
export function decode(text: string, wanted: (key: TableKey) => boolean): Decoded {
  if (text.startsWith('BEGIN')) return { what: 'begin', xid: Number(text.slice(6)) };
  if (text.startsWith('COMMIT')) return { what: 'commit', at: commitTime(text) };
  if (!text.startsWith('table ')) return { what: 'other' }; // A logical message (pg_logical_emit_message).
  const cursor = new Cursor(text, 6);
  const tables: string[] = [];
  do {
    const schema = cursor.identifier();
    cursor.expect('.');
    tables.push(tableKey(schema, cursor.identifier()));
  } while (cursor.taken(', '));
  cursor.expect(': ');
  if (cursor.taken('TRUNCATE:')) return { what: 'truncate', tables: tables.filter(wanted) };
  const [table = ''] = tables;
  if (!wanted(table)) return { what: 'other' };
  if (cursor.taken('INSERT:')) return { what: 'change', op: 'insert', table, ...rowIf(cursor.tuple()) };
  if (cursor.taken('DELETE:')) return { what: 'change', op: 'delete', table, ...oldIf(cursor.tuple()) };
  cursor.expect('UPDATE:');
  const old = cursor.taken(' old-key:') ? cursor.tuple() : undefined;
  if (old !== undefined) cursor.expect(' new-tuple:');
  return { what: 'change', op: 'update', table, ...oldIf(old), ...rowIf(cursor.tuple()) };
}

function rowIf(tuple: Tuple | undefined): { row?: Tuple } {
  return tuple === undefined ? {} : { row: tuple };
}

function oldIf(tuple: Tuple | undefined): { old?: Tuple } {
  return tuple === undefined ? {} : { old: tuple };
}

function commitTime(text: string): number {
  const at = /\(at (.+)\)/.exec(text)?.[1];
  // `2026-11-21 09:00:00.123456+00`: ISO 8601 wants a T, and minutes in the zone.
  const parsed = at === undefined ? NaN : Date.parse(at.replace(' ', 'T').replace(/([+-]\d\d)$/, '$1:00'));
  return Number.isNaN(parsed) ? Date.now() : parsed;
}

class Cursor {
  readonly text: string;
  at: number;

  constructor(text: string, at: number) {
    this.text = text;
    this.at = at;
  }

  taken(word: string): boolean {
    if (!this.text.startsWith(word, this.at)) return false;
    this.at += word.length;
    return true;
  }

  expect(word: string): void {
    if (!this.taken(word)) this.fail(`expected ${JSON.stringify(word)}`);
  }

  /** As quote_identifier() writes it. */
  identifier(): string {
    if (this.text[this.at] === '"') return this.quoted('"');
    const start = this.at;
    while (this.at < this.text.length && !'.[:, '.includes(this.text[this.at] ?? '')) this.at++;
    return this.text.slice(start, this.at);
  }

  /** undefined for `(no-tuple-data)`: the table's replica identity has nothing to tell the row by. */
  tuple(): Tuple | undefined {
    if (this.taken(' (no-tuple-data)')) return undefined;
    const tuple: Tuple = new Map();
    while (this.text[this.at] === ' ' && !this.text.startsWith(' new-tuple:', this.at)) {
      this.at++;
      const name = this.identifier();
      this.expect('[');
      this.skipType();
      this.expect(']:');
      tuple.set(name, this.value());
    }
    return tuple;
  }

  /** A type's name may hold brackets (`integer[]`) and, quoted, anything. */
  private skipType(): void {
    let depth = 0;
    for (; this.at < this.text.length; this.at++) {
      const char = this.text[this.at];
      if (char === '"') {
        this.quoted('"');
        this.at--;
      } else if (char === '[') depth++;
      else if (char === ']') {
        if (depth === 0) return;
        depth--;
      }
    }
    this.fail('a type that does not end');
  }

  private value(): string | null | undefined {
    if (this.text[this.at] === "'") return this.quoted("'");
    if (this.text.startsWith("B'", this.at)) {
      this.at++;
      return this.quoted("'");
    }
    const end = this.text.indexOf(' ', this.at);
    const bare = this.text.slice(this.at, end === -1 ? undefined : end);
    this.at += bare.length;
    if (bare === 'null') return null;
    if (bare === 'unchanged-toast-datum') return undefined;
    return bare;
  }

  private quoted(quote: string): string {
    let end = this.at;
    let doubled = false;
    for (;;) {
      end = this.text.indexOf(quote, end + 1);
      if (end === -1) this.fail(`a ${quote} that does not end`);
      if (this.text[end + 1] !== quote) break;
      doubled = true;
      end++;
    }
    const inner = this.text.slice(this.at + 1, end);
    this.at = end + 1;
    return doubled ? inner.replaceAll(quote + quote, quote) : inner;
  }

  private fail(why: string): never {
    throw new Error(`test_decoding output can't be read (${why} at ${this.at}): ${this.text.slice(0, 80)}`);
  }
}
