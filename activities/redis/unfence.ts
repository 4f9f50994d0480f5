/** Break glass: lifts the fence with nothing but the source's address. For `cutover unfence`, with Temporal gone. */
import type { RedisEndpoint } from '../../spec/values.ts';
import type { LiftedFence } from './fence.ts';
import { withPrimaries, type Primaries } from './primaries.ts';
import { liftSourceFences } from './source-fence.ts';

export interface UnfenceOptions {
  /** The migration whose fence is meant; another one's is refused, unless forced. */
  migration: string;
  force?: boolean;
}

/**
 * Puts back what the record on the source says, and proves that the source takes writes; each primary, where it is a
 * cluster.
 * It can't know whether the target was promoted: where it was, writes to the source are lost to it. The caller asks.
 * @throws cutover.Unreachable, cutover.Denied, cutover.NotOurs, cutover.Busy, cutover.Invalid
 */
export async function unfence(source: RedisEndpoint, options: UnfenceOptions): Promise<LiftedFence> {
  const lift = (primaries: Primaries) =>
    liftSourceFences(primaries, options.force ? {} : { migration: options.migration });
  return withPrimaries(source, 'source', 'cutover:unfence', lift, { patchy: true });
}
