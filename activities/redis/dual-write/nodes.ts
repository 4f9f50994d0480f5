/** The primaries of a side of a dual write, for the checks; the control key is on one of them. */
import { CannotCheck } from '../../preflight/check.ts';
import { topologyOf } from '../copy/topology.ts';
import { primaryProbes } from '../preflight/primary-probes.ts';
import type { RedisProbe } from '../preflight/probe.ts';

export interface SideNodes {
  /** One, or the primaries of the cluster. @throws CannotCheck; CopyError OBSTACLE where slots move or are not served */
  all(): Promise<RedisProbe[]>;
  /** The one that has this key. @throws as `all` */
  holding(key: string): Promise<RedisProbe>;
  close(): void;
}

/** @param first the node that the file names; it is not closed here */
export function sideNodes(first: RedisProbe, name: string): SideNodes {
  const { endpoint, side } = first;
  const nodes = primaryProbes(first, name, async () => {
    const redis = await first.connection().catch(() => {
      throw new CannotCheck(`the ${side} ${first.where} can't be asked (see ${side === 'source' ? 'S0' : 'T0'})`);
    });
    return topologyOf(redis, endpoint, side);
  });
  return {
    all: async () => (await nodes.all()).map(({ probe }) => probe),
    holding: async (key) => (await nodes.holding(key)).probe,
    close: nodes.close,
  };
}
