/** Which checks there are, for each engine, in the order of the report. */
import { groupChecks, type ElastiCacheContext } from '../../elasticache/preflight.ts';
import type { Check } from '../../preflight/check.ts';
import type { RedisOnlineCheck, RedisOnlineContext } from './context.ts';
import { copyChecks } from './copy-checks.ts';
import { eitherTargetChecks } from './either-target-checks.ts';
import { fenceChecks } from './fence-checks.ts';
import { networkChecks } from './network-checks.ts';
import { rateChecks } from './rate-checks.ts';
import { sourceAccessChecks } from './source-access-checks.ts';
import { targetChecks } from './target-checks.ts';

const sourceChecks: readonly RedisOnlineCheck[] = [
  ...sourceAccessChecks,
  ...networkChecks,
  ...copyChecks,
  ...rateChecks,
  ...fenceChecks,
];

export const replicaOfChecks: readonly RedisOnlineCheck[] = [...sourceChecks, ...targetChecks, ...eitherTargetChecks];

export const elastiCacheChecks: readonly Check<ElastiCacheContext>[] = [
  ...sourceChecks,
  ...groupChecks,
  ...eitherTargetChecks,
];

/** Before the fence, the cheap ones; at the start, all. */
export function checksAt<C>(moment: RedisOnlineContext['moment'], checks: readonly Check<C>[]): Check<C>[] {
  return checks.filter(({ cheap }) => moment === 'before-attach' || cheap);
}
