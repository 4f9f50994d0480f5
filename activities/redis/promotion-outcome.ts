/** `engine: replicaof`: finds out whether a cutover whose activity ended without an answer has promoted the target. */
import type { Redis } from 'ioredis';
import { ErrorType } from '../../spec/errors.ts';
import type { RedisOnlineReplicaOf } from '../../spec/kind-redis-online.ts';
import { permanent } from '../errors.ts';
import { waitUntil } from '../wait-until.ts';
import { withRedis } from './connect.ts';
import { cutoverOfFence, fenceValue, judgeGeneration, readFenceRecord, readFenceSettings } from './fence-record.ts';
import { endEarlierFencers, endEarlierPromoters, fencerName, promoterName, readRole } from './role.ts';

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
 * A primary under no fence of this cutover was promoted by somebody else: that is no switch of ours, and no drain has
 * proven that it has everything.
 */
async function judge(input: OutcomeInput): Promise<PromotionOutcome> {
  try {
    const fence = await takeFenceOver(input);
    return await atTarget(input, async (_target, role) => {
      if (role !== 'master')
        return { outcome: 'not-switched', evidence: `ROLE on the target says ${role}; ${fence.text}` };
      if (fence.ours)
        return { outcome: 'switched', evidence: 'ROLE on the target says master, under this cutover’s fence' };
      return {
        outcome: 'not-switched',
        evidence: `the target is a primary, but ${fence.text}: somebody else promoted it`,
      };
    });
  } catch (error) {
    return { outcome: 'unknown', evidence: error instanceof Error ? error.message : String(error) };
  }
}

/**
 * An operator gives the cutover up in doubt: takes care that no attempt can promote any more. It does not detach the
 * target itself, which the undo of the attach does: a second try would find a primary here and take it for promoted.
 * @throws cutover.InDoubt where the target is a primary: it was promoted, and an application may write to it by now
 */
export async function giveUpReplicaOf(input: Omit<OutcomeInput, 'patient'>): Promise<void> {
  await takeFenceOver(input);
  await atTarget(input, async (_target, role) => {
    if (role === 'master') throw permanent(ErrorType.inDoubt, 'the target has been promoted: it can’t be given up');
  });
}

type Judged = Pick<OutcomeInput, 'migration' | 'cutover'>;

async function atTarget<T>({ migration }: Judged, use: (target: Redis, role: string) => Promise<T>): Promise<T> {
  return withRedis(migration.target, { name: promoterName(migration.id) }, async (target) => {
    await endEarlierPromoters(target, migration.id);
    return use(target, (await readRole(target)).role);
  });
}

/** @returns whether this cutover had raised a fence; its record tells that also after a restart of the source */
async function takeFenceOver({ migration, cutover }: Judged): Promise<{ ours: boolean; text: string }> {
  return withRedis(migration.source, { name: fencerName(migration.id) }, async (source) => {
    await endEarlierFencers(source, migration.id);
    const settings = await readFenceSettings(source);
    if (cutoverOfFence(settings.toWrite) === cutover) {
      await source.config('SET', settings.toWriteName, fenceValue(judgeGeneration(cutover)));
      return { ours: true, text: 'its attempts can’t promote any more' };
    }
    const record = await readFenceRecord(source);
    if (record?.migration === migration.id)
      return { ours: true, text: 'the fence was lost by a restart of the source' };
    return { ours: false, text: 'no fence of this cutover is up' };
  });
}
