/** What instances of an application were told, against what a server has. */
import type { Cluster, Redis } from 'ioredis';
import type { DualScene } from './dual-write.ts';

export interface Verdict {
  acknowledged: number;
  /** Acknowledged, and not on the server. */
  lost: string[];
  /** Read by the application itself, older than what it had been acknowledged. */
  stale: string[];
  /** On the server more often than it was sent. */
  doubled: string[];
}

/**
 * Holds what the instances were told against what the server has. The instances must have ended.
 * @param instance of this one alone: it has a database of its own
 */
export async function verdictOf(scene: DualScene, redis: Redis | Cluster, instance?: string): Promise<Verdict> {
  const seen = scene.seen(instance);
  const verdict: Verdict = { acknowledged: 0, lost: [], stale: [], doubled: [] };
  const sets = new Map<string, { acked: number; tried: number }>();
  const lists = new Map<string, number[]>();
  const counts = { tried: 0, acked: 0 };
  const hashes = new Map<string, number>();
  for (const [what, kind = '', key = '', text = ''] of seen) {
    if (what === 'stale') verdict.stale.push([kind, key, text].join(' '));
    if (what === 'ack') verdict.acknowledged++;
    if (what !== 'ack' && what !== 'try') continue;
    const seq = Number(text);
    if (kind === 'set') {
      const known = sets.get(key) ?? { acked: 0, tried: 0 };
      known[what === 'ack' ? 'acked' : 'tried'] = seq;
      sets.set(key, known);
    }
    if (kind === 'incr') counts[what === 'ack' ? 'acked' : 'tried']++;
    if (kind === 'push' && what === 'ack') lists.set(key, [...(lists.get(key) ?? []), seq]);
    if (kind === 'hash' && what === 'ack') hashes.set(key, seq);
  }
  for (const [key, { acked, tried }] of sets) {
    const value = Number(await redis.get(key));
    if (value < acked || value > tried) verdict.lost.push(`${key}: ${value}, acknowledged ${acked}`);
  }
  const shared = Number(await redis.get('app:shared'));
  if (shared < counts.acked) verdict.lost.push(`app:shared: ${shared}, acknowledged ${counts.acked}`);
  if (shared > counts.tried) verdict.doubled.push(`app:shared: ${shared}, tried ${counts.tried}`);
  for (const [key, acked] of lists) {
    const there = (await redis.lrange(key, 0, -1)).map(Number);
    const unique = new Set(there);
    if (unique.size !== there.length) verdict.doubled.push(`${key}: ${there.length - unique.size} twice`);
    const missing = acked.filter((seq) => !unique.has(seq));
    if (missing.length > 0) verdict.lost.push(`${key}: ${missing.length} of ${acked.length} entries`);
  }
  for (const [key, acked] of hashes) {
    const values = (await redis.hvals(key)).map(Number);
    if (Math.max(0, ...values) < acked) verdict.lost.push(`${key}: acknowledged ${acked}`);
  }
  return verdict;
}
