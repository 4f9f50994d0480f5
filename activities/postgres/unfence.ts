/** Break glass: lifts the fence with nothing but the source's address. For `cutover unfence`, with Temporal gone. */
import type { PostgresEndpoint } from '../../spec/values.ts';
import { sessionName, withPostgres } from './connect.ts';
import { liftFence, type LiftedFence } from './fence.ts';

export interface UnfenceOptions {
  /** The migration whose fence is meant; another one's is refused, unless forced. */
  migration: string;
  force?: boolean;
}

/**
 * Puts back what the record on the source says. It can't know whether the target was opened: where it was, writes to the
 * source are lost to it. The caller asks.
 * @throws cutover.Unreachable, cutover.Denied, cutover.NotOurs, cutover.Secret
 */
export async function unfencePostgres(source: PostgresEndpoint, options: UnfenceOptions): Promise<LiftedFence> {
  return withPostgres(source, { name: sessionName(options.migration, 'unfence') }, (client) =>
    liftFence(client, options.force ? {} : { migration: options.migration }),
  );
}
