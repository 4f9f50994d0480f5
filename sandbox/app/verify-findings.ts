import type { Acknowledged, ClientAcks } from './acknowledged.ts';
import { kindOf } from './operations.ts';
import type { Verification } from './verify.ts';

const EXAMPLES = 10;

/** What a verification finds, counted by writes: a write with two traces (a script, a transaction) is lost once. */
export class Findings {
  readonly #acks: Acknowledged;
  readonly #lost = new Set<string>();
  readonly #examples: string[] = [];
  #lostMore = 0;
  #repeated = 0;
  #unexplained = 0;

  constructor(acks: Acknowledged) {
    this.#acks = acks;
  }

  isLost(log: ClientAcks, seq: number): boolean {
    return this.#lost.has(`${log.client}/${seq}`);
  }

  lost(log: ClientAcks, seq: number, where: string, found: string): void {
    if (this.isLost(log, seq)) return;
    this.#lost.add(`${log.client}/${seq}`);
    this.#example(`${this.#write(log, seq)}: ${where}: ${found}`);
  }

  /** So many writes up to `seq`, which can't be told apart. */
  lostMany(log: ClientAcks, seq: number, count: number, where: string, found: string): void {
    this.#lostMore += count;
    this.#example(`${count} up to ${this.#write(log, seq)}: ${where}: ${found}`);
  }

  /** `more` appearances than one for each acknowledgement, of which `allowed` are explained by unanswered attempts. */
  repeated(more: number, allowed: number, what: string): void {
    if (more <= 0) return;
    // Without a complete record, a write may have been acknowledged (or unanswered) without being in it.
    const explained = this.#acks.complete ? Math.min(more, allowed) : more;
    this.#repeated += explained;
    this.#unexplained += more - explained;
    if (more > explained) this.#example(`unexplained: ${what}`);
  }

  verification(): Verification {
    let acknowledged = 0;
    let ambiguous = 0;
    for (const log of this.#acks.clients) {
      acknowledged += log.count;
      ambiguous += log.unfinished?.ambiguous ?? 0;
      for (let seq = 0; seq < log.count; seq++) ambiguous += log.ambiguous[seq]!;
    }
    return {
      acknowledged,
      lost: this.#lost.size + this.#lostMore,
      examples: this.#examples,
      ambiguous,
      repeated: this.#repeated,
      unexplained: this.#unexplained,
    };
  }

  #write(log: ClientAcks, seq: number): string {
    const endpoint = this.#acks.endpoints[log.endpoint[seq]!];
    const at = seq >= 0 && seq < log.count ? new Date(log.at[seq]!).toISOString() : '?';
    return `${kindOf(Math.max(0, seq))} ${seq} of client ${log.client}, acknowledged by ${endpoint?.host}:${endpoint?.port} at ${at}`;
  }

  #example(text: string): void {
    if (this.#examples.length < EXAMPLES) this.#examples.push(text);
  }
}
