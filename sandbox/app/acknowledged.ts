/** The record of what was acknowledged: 14 bytes a write, so that an hour at full rate fits in memory. */

export interface Endpoint {
  host: string;
  port: number;
  /** In memory only; it is in no file and no answer. */
  password?: string | undefined;
}

/** A client's acknowledged writes, in order: the index is the write's number. */
export interface ClientAcks {
  client: number;
  count: number;
  /** Epoch ms with a fraction, of the acknowledgement. */
  at: Float64Array;
  /** Index into `Acknowledged.endpoints`. */
  endpoint: Uint8Array;
  /** How often it was sent before without an answer: that often it may have been applied beside the one time. At most 255. */
  ambiguous: Uint8Array;
  /** What INCR answered; 0 for other writes. */
  reply: Uint32Array;
  /** The write that was under way at the end, never acknowledged; `ambiguous` as above. */
  unfinished?: { seq: number; ambiguous: number };
}

export interface Acknowledged {
  run: string;
  endpoints: Endpoint[];
  clients: ClientAcks[];
  /**
   * False where the application died: acknowledgements of its last moment may be missing from the record, so nothing can be
   * said about writes that are there without being in it.
   */
  complete: boolean;
}

const FIRST_CAPACITY = 1_024;

export class AckLog implements ClientAcks {
  readonly client: number;
  count = 0;
  at = new Float64Array(FIRST_CAPACITY);
  endpoint = new Uint8Array(FIRST_CAPACITY);
  ambiguous = new Uint8Array(FIRST_CAPACITY);
  reply = new Uint32Array(FIRST_CAPACITY);
  unfinished?: { seq: number; ambiguous: number };

  constructor(client: number) {
    this.client = client;
  }

  add(at: number, endpoint: number, ambiguous: number, reply: number): void {
    if (this.count === this.at.length) this.#grow();
    this.at[this.count] = at;
    this.endpoint[this.count] = endpoint;
    this.ambiguous[this.count] = Math.min(255, ambiguous);
    this.reply[this.count] = reply;
    this.count++;
  }

  #grow(): void {
    const length = this.at.length * 2;
    const larger = <T extends Float64Array | Uint8Array | Uint32Array>(fresh: T, old: T): T => {
      fresh.set(old);
      return fresh;
    };
    this.at = larger(new Float64Array(length), this.at);
    this.endpoint = larger(new Uint8Array(length), this.endpoint);
    this.ambiguous = larger(new Uint8Array(length), this.ambiguous);
    this.reply = larger(new Uint32Array(length), this.reply);
  }
}

/** Acknowledgements by the server at `host:port`, at or after `fromMs` (epoch ms). */
export function writesTakenBy(acks: Acknowledged, server: { host: string; port: number }, fromMs = 0): number {
  let taken = 0;
  for (const log of acks.clients) {
    for (let seq = 0; seq < log.count; seq++) {
      const endpoint = acks.endpoints[log.endpoint[seq]!];
      if (endpoint?.host === server.host && endpoint.port === server.port && log.at[seq]! >= fromMs) taken++;
    }
  }
  return taken;
}
