/** `engine: replicaof`: finds out whether a cutover whose activity ended without an answer has promoted the target. */
import type { RedisOnlineReplicaOf } from '../../spec/kind-redis-online.ts';
import { waitUntil } from '../wait-until.ts';
import { connectRedis } from './connect.ts';
import { cutoverOfFence, fenceValue, judgeGeneration, readFenceSettings } from './fence-record.ts';
import { endEarlierPromoters, promoterName, readRole } from './role.ts';

export interface PromotionOutcome {
  outcome: 'switched' | 'not-switched' | 'unknown';
  evidence: string;
}

export interface OutcomeInput {
  migration: RedisOnlineReplicaOf;
  cutover: number;
  /** Wait until it is known, however long that takes; else one look. */
  patient: boolean;
}

const PATIENT_INTERVAL_MS = 5_000;

/** Can run any number of times. Answers 'unknown' rather than to throw where a server can't be reached. */
export async function replicaOfOutcome(input: OutcomeInput): Promise<PromotionOutcome> {
  return waitUntil({
    intervalMs: PATIENT_INTERVAL_MS,
    read: () => judge(input),
    done: (outcome) => outcome.outcome !== 'unknown' || !input.patient,
    progress: (outcome) => ({ text: `in doubt: ${outcome.evidence}` }),
  });
}

/**
 * The order matters. First the fence is taken over: an attempt that still lives finds another's generation and does not
 * promote. Then the connections on which it could have promoted are ended: what was on its way has arrived, or never
 * will. Only then does ROLE answer for good.
 */
async function judge({ migration, cutover }: OutcomeInput): Promise<PromotionOutcome> {
  try {
    const taken = await takeFenceOver(migration, cutover);
    const target = await connectRedis(migration.target, { name: promoterName(migration.id) });
    try {
      await endEarlierPromoters(target, migration.id);
      const { role } = await readRole(target);
      if (role === 'master') return { outcome: 'switched', evidence: 'ROLE on the target says master' };
      return { outcome: 'not-switched', evidence: `ROLE on the target says ${role}; ${taken}` };
    } finally {
      target.disconnect();
    }
  } catch (error) {
    return { outcome: 'unknown', evidence: error instanceof Error ? error.message : String(error) };
  }
}

async function takeFenceOver(migration: RedisOnlineReplicaOf, cutover: number): Promise<string> {
  const source = await connectRedis(migration.source, { name: `cutover:${migration.id}:fence` });
  try {
    const settings = await readFenceSettings(source);
    if (cutoverOfFence(settings.toWrite) !== cutover) return 'no fence of this cutover is up';
    await source.config('SET', settings.toWriteName, fenceValue(judgeGeneration(cutover)));
    return 'its attempts can’t promote any more';
  } finally {
    source.disconnect();
  }
}
