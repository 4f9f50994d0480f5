/**
 * The record of what the application wrote, a line at a time, before and after each COMMIT, handed to the system at once:
 * so it is whole however the application ends, and a commit without an answer is known to be one. JSON lines:
 * ["run", NAME, CLIENTS], ["endpoint", INDEX, HOST, PORT, DATABASE], ["try", CLIENT, SEQ, ENDPOINT, KIND, EFFECTS],
 * ["ack", CLIENT, SEQ, EPOCH_MS], ["no", CLIENT, SEQ] (certainly not committed). A try without either is unknown.
 */
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';
import type { PgAddress } from './endpoint.ts';
import type { MarkedTableName } from './marks.ts';

/** What a row holds once the write is there: its mark or value, or null where the write deletes it. */
export type Effect = [table: MarkedTableName, id: number, value: string | null];

export interface RecordedWrite {
  client: number;
  /** Rises within a client, with gaps. */
  seq: number;
  /** Index into `RedashRecord.endpoints`. */
  endpoint: number;
  kind: string;
  effects: Effect[];
  /** `unknown`: COMMIT was sent and not answered; it may be there or not. */
  outcome: 'acknowledged' | 'unknown';
  /** Epoch ms of the acknowledgement. */
  at?: number;
}

export interface RedashRecord {
  run: string;
  clients: number;
  endpoints: PgAddress[];
  /** In the order they were tried. */
  writes: RecordedWrite[];
}

export class RecordKeeper {
  readonly #fd: number | undefined;
  readonly #writes = new Map<string, RecordedWrite>();
  readonly #endpoints: PgAddress[] = [];
  readonly #run: string;
  readonly #clients: number;
  #closed = false;

  constructor(run: string, clients: number, path?: string) {
    this.#run = run;
    this.#clients = clients;
    this.#fd = path === undefined ? undefined : openSync(path, 'w', 0o600);
    this.#line(['run', run, clients]);
  }

  endpoint({ host, port, database }: PgAddress): number {
    const index = this.#endpoints.push({ host, port, database }) - 1;
    this.#line(['endpoint', index, host, port, database]);
    return index;
  }

  /** Before COMMIT is sent. */
  tried(client: number, seq: number, endpoint: number, kind: string, effects: Effect[]): void {
    this.#writes.set(`${client}/${seq}`, { client, seq, endpoint, kind, effects, outcome: 'unknown' });
    this.#line(['try', client, seq, endpoint, kind, effects]);
  }

  acknowledged(client: number, seq: number, at: number): void {
    Object.assign(this.#writes.get(`${client}/${seq}`)!, { outcome: 'acknowledged', at });
    this.#line(['ack', client, seq, Number(at.toFixed(3))]);
  }

  /** The server said that it did not commit. */
  refused(client: number, seq: number): void {
    if (this.#writes.delete(`${client}/${seq}`)) this.#line(['no', client, seq]);
  }

  /** As it is now. A write that is under way stands as unknown. */
  record(): RedashRecord {
    return {
      run: this.#run,
      clients: this.#clients,
      endpoints: [...this.#endpoints],
      writes: [...this.#writes.values()].map((write) => ({ ...write })),
    };
  }

  /** May be called again. */
  close(): void {
    if (this.#fd !== undefined && !this.#closed) closeSync(this.#fd);
    this.#closed = true;
  }

  #line(fields: unknown[]): void {
    // Not buffered: what the system has been handed survives the end of this process.
    if (this.#fd !== undefined && !this.#closed) writeSync(this.#fd, `${JSON.stringify(fields)}\n`);
  }
}

/**
 * Reads the record of an application that has ended, in whatever way. A last line that was cut is left out.
 * @throws Error when the file can't be read or holds something else
 */
export function readRedashRecord(path: string): RedashRecord {
  const text = readFileSync(path, 'utf8');
  const record: RedashRecord = { run: '', clients: 0, endpoints: [], writes: [] };
  const writes = new Map<string, RecordedWrite>();
  for (const line of text.slice(0, text.lastIndexOf('\n') + 1).split('\n')) {
    if (line !== '') readLine(path, line, record, writes);
  }
  record.writes = [...writes.values()];
  return record;
}

function readLine(path: string, line: string, record: RedashRecord, writes: Map<string, RecordedWrite>): void {
  const [what, ...fields] = JSON.parse(line) as [string, ...never[]];
  if (what === 'run') [record.run, record.clients] = fields as never as [string, number];
  else if (what === 'endpoint') {
    const [index, host, port, database] = fields as never as [number, string, number, string];
    record.endpoints[index] = { host, port, database };
  } else if (what === 'try') {
    const [client, seq, endpoint, kind, effects] = fields as never as [number, number, number, string, Effect[]];
    writes.set(`${client}/${seq}`, { client, seq, endpoint, kind, effects, outcome: 'unknown' });
  } else if (what === 'ack') {
    const [client, seq, at] = fields as never as [number, number, number];
    const write = writes.get(`${client}/${seq}`);
    if (!write) throw new Error(`${path}: write ${seq} of client ${client} is acknowledged and was never tried`);
    Object.assign(write, { outcome: 'acknowledged', at });
  } else if (what === 'no') {
    const [client, seq] = fields as never as [number, number];
    writes.delete(`${client}/${seq}`);
  } else throw new Error(`${path}: not a record of writes: ${JSON.stringify(line.slice(0, 80))}`);
}
