/**
 * The table of contents of a pg_dump in custom format: every object of the schema with its SQL, what it depends on and
 * who owns it. Read from the archive itself (pg_backup_archiver.c, formats 1.12 of Postgres 9.x to 1.16 of 17), because the
 * plain format has no borders between objects that a function's body could not imitate.
 */
import { ErrorType } from '../../spec/errors.ts';
import { permanent } from '../errors.ts';

export interface TocEntry {
  dumpId: number;
  /** The object itself: catalog and object id on the server that was dumped. */
  catalog: number;
  oid: number;
  /** Its name, with the table's before it for what belongs to one: `users users_pkey`. */
  tag: string;
  /** `TABLE`, `INDEX`, `FK CONSTRAINT`, … */
  kind: string;
  schema: string;
  owner: string;
  sql: string;
  dropSql: string;
  /** Dump ids. */
  needs: number[];
}

const NEWEST = version(1, 16);
const OLDEST = version(1, 12);

function version(major: number, minor: number): number {
  return major * 256 + minor;
}

/** @throws cutover.Invalid where it is no archive, or of a format that is not known here */
export function parseToc(archive: Buffer): TocEntry[] {
  const reader = new Reader(archive);
  const format = readHead(reader);
  const count = reader.int();
  return Array.from({ length: count }, () => readEntry(reader, format));
}

function readHead(reader: Reader): number {
  if (reader.bytes(5).toString('latin1') !== 'PGDMP') throw unreadable('it does not begin with PGDMP');
  const format = version(reader.byte(), reader.byte());
  reader.byte();
  if (format < OLDEST || format > NEWEST) {
    throw unreadable(
      `its format ${format >> 8}.${format & 255} is not known here`,
      'use a pg_dump of Postgres 9.3 to 17',
    );
  }
  reader.intSize = reader.byte();
  reader.offsetSize = reader.byte();
  // 1 is the custom format.
  if (reader.byte() !== 1) throw unreadable('it is not in custom format');
  if (format >= version(1, 15)) reader.byte();
  else reader.int();
  // When it was made: second, minute, hour, day, month, year, daylight saving.
  for (let i = 0; i < 7; i += 1) reader.int();
  // The database's name, and the versions of server and pg_dump.
  for (let i = 0; i < 3; i += 1) reader.text();
  return format;
}

function readEntry(reader: Reader, format: number): TocEntry {
  const dumpId = reader.int();
  reader.int(); // whether there are data
  const catalog = Number(reader.text());
  const oid = Number(reader.text());
  const tag = reader.text() ?? '';
  const kind = reader.text() ?? '';
  reader.int(); // section
  const sql = reader.text() ?? '';
  const dropSql = reader.text() ?? '';
  reader.text(); // COPY
  const schema = reader.text() ?? '';
  reader.text(); // tablespace
  if (format >= version(1, 14)) reader.text(); // table access method
  if (format >= version(1, 16)) reader.int(); // relkind
  const owner = reader.text() ?? '';
  reader.text(); // WITH OIDS
  const needs: number[] = [];
  for (let id = reader.text(); id !== undefined; id = reader.text()) needs.push(Number(id));
  reader.offset();
  return { dumpId, catalog, oid, tag, kind, schema, owner, sql, dropSql, needs };
}

class Reader {
  intSize = 4;
  offsetSize = 8;
  private readonly buffer: Buffer;
  private at = 0;

  constructor(buffer: Buffer) {
    this.buffer = buffer;
  }

  bytes(length: number): Buffer {
    const end = this.at + length;
    if (length < 0 || end > this.buffer.length) throw unreadable('it ends too soon');
    const found = this.buffer.subarray(this.at, end);
    this.at = end;
    return found;
  }

  byte(): number {
    return this.bytes(1)[0]!;
  }

  /** A sign, then the value, its lowest byte first. */
  int(): number {
    const negative = this.byte() !== 0;
    const value = this.bytes(this.intSize).readUIntLE(0, this.intSize);
    return negative ? -value : value;
  }

  text(): string | undefined {
    const length = this.int();
    return length < 0 ? undefined : this.bytes(length).toString('utf8');
  }

  offset(): void {
    this.bytes(1 + this.offsetSize);
  }
}

function unreadable(why: string, remedy?: string): Error {
  return permanent(ErrorType.invalid, `pg_dump's archive can't be read: ${why}`, remedy ? { remedy } : {});
}
