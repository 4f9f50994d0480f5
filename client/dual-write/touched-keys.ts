/** The journal: every key that is written is recorded on the authority before, or in one transaction with, the write. */
import { dualKeys } from '../../spec/dual-write.ts';
import { call } from './call.ts';
import type { Arg, Call } from './call.ts';
import { isReplyError, notJournaled } from './errors.ts';
import type { Link, Sent, Use } from './link.ts';

export class TouchedKeys {
  private readonly journal: string;

  constructor(id: string) {
    this.journal = dualKeys(id).touched;
  }

  /** ZADD of the keys, with the authority's time. At most a round trip late: then the repair waits longer, not shorter. */
  record(link: Link, keys: readonly Arg[]): Call {
    const score = String(link.nowMs());
    return call('zadd', this.journal, ...keys.flatMap((key) => [score, key]));
  }

  /**
   * One write, in one transaction with its record. A cluster can't have both in one: there the record is answered first.
   * The answer is that of the write alone.
   */
  write(link: Link, what: Call, encoding: 'utf8' | null, db: number, timeoutMs: number): Sent {
    if (link.isCluster)
      return this.recordFirst(link, what.name, what.keys, db, timeoutMs, (left) => link.send(what, encoding, db, left));
    const sent = link.transaction([this.record(link, what.keys), { ...what, encoding }], db, timeoutMs);
    const answer = sent.answer.then((results) => {
      const [recorded, written] = results as [Error | null, unknown][];
      if (written?.[0]) throw written[0];
      if (recorded?.[0]) throw notJournaled(what.name, recorded[0]);
      return written?.[1];
    });
    return { answer, ended: sent.ended };
  }

  /** A transaction of the application, the record inside. The answer is without it: [error, value][], or null. */
  transaction(
    link: Link,
    calls: readonly (Call & { encoding?: 'utf8' | null })[],
    keys: readonly Arg[],
    db: number,
    timeoutMs: number,
    use: Use,
  ): Sent {
    if (keys.length === 0) return link.transaction(calls, db, timeoutMs, use);
    if (link.isCluster) {
      return this.recordFirst(link, 'multi', keys, db, timeoutMs, (left) => link.transaction(calls, db, left, use));
    }
    const sent = link.transaction([this.record(link, keys), ...calls], db, timeoutMs, use);
    const answer = sent.answer.then((results) => {
      if (!Array.isArray(results)) return results;
      const [recorded, ...own] = results as [Error | null, unknown][];
      if (recorded?.[0]) throw notJournaled('multi', recorded[0]);
      return own;
    });
    return { answer, ended: sent.ended };
  }

  private recordFirst(
    link: Link,
    name: string,
    keys: readonly Arg[],
    db: number,
    timeoutMs: number,
    write: (leftMs: number) => Sent,
  ): Sent {
    const began = performance.now();
    const record = link.send(this.record(link, keys), 'utf8', db, timeoutMs);
    const written = record.answer.then(
      // Record and write together must not take longer than one write may, or the repair could be done in between.
      () => write(Math.max(1, timeoutMs - (performance.now() - began))),
      (error: unknown) => {
        throw isReplyError(error)
          ? new Error(`${name.toUpperCase()} was not sent: the journal refused: ${error.message}`)
          : error;
      },
    );
    return {
      answer: written.then((sent) => sent.answer),
      ended: written.then(
        (sent) => sent.ended,
        () => record.ended,
      ),
    };
  }
}
