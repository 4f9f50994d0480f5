/** Counters can't be looked into; but each has one client alone, and INCR answers with the new value. */
import type { Redis } from 'ioredis';
import type { ClientAcks } from './acknowledged.ts';
import { kindOf, type ClientKeys } from './operations.ts';
import type { Findings } from './verify-findings.ts';

/**
 * The answers must rise by one each time. One that rises by less tells how many acknowledged increments were gone by then;
 * the final value tells the same of the last answer. More than one is explained by attempts without an answer, or not at all.
 */
export async function verifyCounter(
  redis: Redis,
  log: ClientAcks,
  keys: ClientKeys,
  findings: Findings,
): Promise<void> {
  let last = 0;
  let lastSeq = -1;
  for (let seq = 0; seq < log.count; seq++) {
    if (kindOf(seq) !== 'incr') continue;
    const reply = log.reply[seq]!;
    const gone = last + 1 - reply;
    if (gone > 0) findings.lostMany(log, lastSeq, gone, keys.counter, `the next INCR answered ${reply} after ${last}`);
    else findings.repeated(-gone, log.ambiguous[seq]!, `${keys.counter} rose from ${last} to ${reply}`);
    last = reply;
    lastSeq = seq;
  }
  const value = Number((await redis.get(keys.counter)) ?? 0);
  if (value < last)
    findings.lostMany(log, lastSeq, last - value, keys.counter, `it is ${value} after INCR had answered ${last}`);
  else
    findings.repeated(
      value - last,
      unfinished(log, 'incr'),
      `${keys.counter} is ${value} after INCR had answered ${last}`,
    );
}

/**
 * The second half of each MULTI. A value of a transaction that is missing was counted as lost already, so only what the
 * counter lacks beyond those is: torn transactions.
 */
export async function verifyTransactions(
  redis: Redis,
  log: ClientAcks,
  keys: ClientKeys,
  findings: Findings,
): Promise<void> {
  let acknowledged = 0;
  let allowed = unfinished(log, 'multi');
  let missing = 0;
  for (let seq = 0; seq < log.count; seq++) {
    if (kindOf(seq) !== 'multi') continue;
    acknowledged++;
    allowed += log.ambiguous[seq]!;
    if (findings.isLost(log, seq)) missing++;
  }
  const value = Number((await redis.get(keys.transactions)) ?? 0);
  const lacking = acknowledged - missing - value;
  if (lacking > 0) {
    findings.lostMany(
      log,
      log.count - 1,
      lacking,
      keys.transactions,
      `it is ${value} after ${acknowledged} transactions`,
    );
  } else if (missing === 0) {
    findings.repeated(
      value - acknowledged,
      allowed,
      `${keys.transactions} is ${value} after ${acknowledged} transactions`,
    );
  }
}

function unfinished(log: ClientAcks, kind: string): number {
  return log.unfinished && kindOf(log.unfinished.seq) === kind ? log.unfinished.ambiguous : 0;
}
