/** `engine: elasticache`: the call that promotes, and finding out what it did. */
import { Context, sleep } from '@temporalio/activity';
import type { RedisOnlineElastiCache } from '../../spec/kind-redis-online.ts';
import type { Progress } from '../../spec/status.ts';
import { pollInterval } from '../aws/poll-interval.ts';
import { beat } from '../beat.ts';
import { withRedis } from '../redis/connect.ts';
import { fenceOfCutoverIsUp } from '../redis/fence-activities.ts';
import { readRole } from '../redis/role.ts';
import type { PromotionOutcome } from '../redis/promotion-outcome.ts';
import { completeMigration, type CompleteAnswer } from './complete-migration.ts';
import { eventsSince, type Watermark } from './events.ts';
import { groupStatus } from './replication-group.ts';

const ROLE_POLL_MS = 100;

export interface CompleteInput {
  migration: RedisOnlineElastiCache;
  cutover: number;
}

/**
 * CompleteMigration without Force, and only while the fence of this cutover is up. Never throws for what it finds: the
 * caller must know whether the call was made.
 */
export async function completeGroupMigration({ migration, cutover }: CompleteInput): Promise<CompleteAnswer> {
  const up = await fenceOfCutoverIsUp({ migrationId: migration.id, source: migration.source, cutover }).catch(
    (error: unknown) => (error instanceof Error ? error.message : String(error)),
  );
  if (up === true) return completeMigration({ id: migration.target.replicationGroup, aws: migration.aws });
  const why =
    up === false
      ? 'the fence is not up any more (was the source restarted, or made a replica by a failover?)'
      : `the fence can't be seen: ${up}`;
  // A second attempt does not know what the first one called.
  const answer = Context.current().info.attempt === 1 ? 'refused' : 'ambiguous';
  return { answer, message: `CompleteMigration was not called: ${why}` };
}

export interface GroupOutcomeInput {
  migration: RedisOnlineElastiCache;
  /** The newest event before CompleteMigration. */
  since: Watermark;
  /** What CompleteMigration answered; absent where it is not known whether it was called. */
  answer?: CompleteAnswer | undefined;
  /** How long to look, ms; at least one look is taken. Infinity is given as -1. */
  withinMs: number;
}

/**
 * What CompleteMigration did. Only three things are proof: ROLE on the target, an event, and an answer that refuses.
 * Status is none: it may stay `migrating` after a promotion, and become `available` late.
 */
export async function groupOutcome(input: GroupOutcomeInput): Promise<PromotionOutcome> {
  const until = input.withinMs < 0 ? Infinity : performance.now() + input.withinMs;
  for (;;) {
    const outcome = await judge(input);
    if (outcome.outcome !== 'unknown' || performance.now() >= until) return outcome;
    const progress: Progress = { text: `waiting for the promotion: ${outcome.evidence}` };
    beat({ progress });
    await untilPromoted(input, Math.min(until, performance.now() + pollInterval()));
  }
}

/**
 * Writes are held back meanwhile, so the target itself is asked far more often than AWS is, which has a rate limit.
 * Returns early once the target says that it is the primary.
 */
async function untilPromoted({ migration }: GroupOutcomeInput, until: number): Promise<void> {
  const id = migration.target.replicationGroup;
  const group = await groupStatus({ id, aws: migration.aws }).catch(() => undefined);
  while (performance.now() < until) {
    await sleep(Math.min(ROLE_POLL_MS, Math.max(1, until - performance.now())));
    if (!group?.primary) continue;
    const target = { ...group.primary, tls: false };
    // Away or loading is no answer; the next judgement says so.
    const role = await withRedis(target, { name: `cutover:${migration.id}` }, readRole).catch(() => undefined);
    if (role?.role === 'master') return;
  }
}

async function judge({ migration, since, answer }: GroupOutcomeInput): Promise<PromotionOutcome> {
  const id = migration.target.replicationGroup;
  try {
    const group = await groupStatus({ id, aws: migration.aws });
    const events = await eventsSince({ sources: [{ id }], since, aws: migration.aws });
    if (!group.primary) return { outcome: 'unknown', evidence: `${id} is ${group.status} and has no primary endpoint` };
    const { role } = await withRedis({ ...group.primary, tls: false }, { name: `cutover:${migration.id}` }, readRole);
    const told = events.filter((event) => event.kind !== 'other').at(-1);
    if (role === 'master') {
      return {
        outcome: 'switched',
        evidence: `ROLE on the target says master${told ? `; event: ${told.message}` : ''}`,
      };
    }
    if (told && told.kind.endsWith('-failed')) {
      return { outcome: 'not-switched', evidence: `ROLE on the target says ${role}; event: ${told.message}` };
    }
    if (answer?.answer === 'refused') {
      return { outcome: 'not-switched', evidence: `ROLE on the target says ${role}; ${answer.message}` };
    }
    return { outcome: 'unknown', evidence: `${id} is ${group.status}, ROLE says ${role}, and no event tells` };
  } catch (error) {
    return { outcome: 'unknown', evidence: error instanceof Error ? error.message : String(error) };
  }
}
