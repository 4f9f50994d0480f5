/** Looks for every acknowledged write, one by one. */
import { Redis } from 'ioredis';
import type { Acknowledged, ClientAcks, Endpoint } from './acknowledged.ts';
import { verifyCounter, verifyTransactions } from './verify-counters.ts';
import { Findings } from './verify-findings.ts';
import { BLOCK, ClientKeys, kindOf } from './operations.ts';

export { writesTakenBy } from './acknowledged.ts';

export interface Verification {
  acknowledged: number;
  /** Acknowledged writes that are not there. */
  lost: number;
  /** Up to ten of them, in words. */
  examples: string[];
  /** Attempts that got no answer. */
  ambiguous: number;
  /** Writes that are there more than once because an attempt without an answer had been applied after all. */
  repeated: number;
  /** There more often than the attempts explain, or without any acknowledgement: a server applied what it refused. */
  unexplained: number;
}

const BATCH = 1_000;

/**
 * Every acknowledged write must be on `target`: values as written, counters, lists and streams counted exactly. Give it
 * the record of a stopped application; nothing else may have written to its keys.
 */
export async function verifyAcknowledged(target: Endpoint | Redis, acks: Acknowledged): Promise<Verification> {
  const own = target instanceof Redis ? undefined : new Redis(connectionTo(target));
  const redis = target instanceof Redis ? target : own!;
  const findings = new Findings(acks);
  try {
    for (const log of acks.clients) await verifyClient(redis, acks, log, findings);
  } finally {
    own?.disconnect();
  }
  return findings.verification();
}

function connectionTo({ host, port, password }: Endpoint) {
  return { host, port, ...(password === undefined ? {} : { password }) };
}

async function verifyClient(redis: Redis, acks: Acknowledged, log: ClientAcks, findings: Findings): Promise<void> {
  const keys = new ClientKeys(acks.run, log.client);
  await verifyValues(redis, log, keys, findings);
  // One block more: the write that was under way at the end may be the first of a block.
  for (let start = 0; start <= log.count; start += BLOCK) {
    await verifyHash(redis, log, keys, start, findings);
    await verifyList(redis, log, keys, start, findings);
    await verifyStream(redis, log, keys, start, findings);
  }
  await verifyCounter(redis, log, keys, findings);
  await verifyTransactions(redis, log, keys, findings);
}

function acknowledgedOf(log: ClientAcks, from: number, to: number, kinds: readonly string[]): number[] {
  const found: number[] = [];
  for (let seq = from; seq < Math.min(to, log.count); seq++) if (kinds.includes(kindOf(seq))) found.push(seq);
  return found;
}

async function verifyValues(redis: Redis, log: ClientAcks, keys: ClientKeys, findings: Findings): Promise<void> {
  for (let start = 0; start < log.count; start += BATCH) {
    const seqs = acknowledgedOf(log, start, start + BATCH, ['set', 'multi', 'eval']);
    if (seqs.length === 0) continue;
    const values = await redis.mget(seqs.map((seq) => keys.value(seq)));
    seqs.forEach((seq, i) => {
      if (values[i] !== keys.content(seq)) findings.lost(log, seq, keys.value(seq), values[i] ?? 'nothing');
    });
  }
}

async function verifyHash(
  redis: Redis,
  log: ClientAcks,
  keys: ClientKeys,
  start: number,
  findings: Findings,
): Promise<void> {
  const fields = await redis.hgetall(keys.hash(start));
  for (const seq of acknowledgedOf(log, start, start + BLOCK, ['hset', 'eval'])) {
    const value = fields[String(seq)];
    if (value !== keys.content(seq)) {
      findings.lost(log, seq, `${keys.hash(start)} field ${seq}`, value ?? 'nothing');
    }
  }
}

async function verifyList(
  redis: Redis,
  log: ClientAcks,
  keys: ClientKeys,
  start: number,
  findings: Findings,
): Promise<void> {
  const items = await redis.lrange(keys.list(start), 0, -1);
  countAppended(log, 'lpush', keys.list(start), start, items, findings);
}

async function verifyStream(
  redis: Redis,
  log: ClientAcks,
  keys: ClientKeys,
  start: number,
  findings: Findings,
): Promise<void> {
  const entries = await redis.xrange(keys.stream(start), '-', '+');
  const items = entries.map(([, fields]) => fields[fields.indexOf('seq') + 1] ?? '');
  countAppended(log, 'xadd', keys.stream(start), start, items, findings);
}

/** Each acknowledged one at least once, and not more often than it was sent without an answer, plus once. */
function countAppended(
  log: ClientAcks,
  kind: 'lpush' | 'xadd',
  key: string,
  start: number,
  items: readonly string[],
  findings: Findings,
): void {
  const times = new Map<number, number>();
  for (const item of items) times.set(Number(item), (times.get(Number(item)) ?? 0) + 1);
  for (const seq of acknowledgedOf(log, start, start + BLOCK, [kind])) {
    const found = times.get(seq) ?? 0;
    times.delete(seq);
    if (found === 0) findings.lost(log, seq, key, 'not in it');
    else findings.repeated(found - 1, log.ambiguous[seq]!, `${key} holds ${seq} ${found} times`);
  }
  // What is left was never acknowledged. Only the write under way at the end may be there.
  for (const [seq, found] of times) {
    const allowed = seq === log.unfinished?.seq ? log.unfinished.ambiguous : 0;
    findings.repeated(found, allowed, `${key} holds ${seq}, which was never acknowledged`);
  }
}
