/**
 * The primaries of a side, for the checks: of a cluster, what one node says of its clients, its keys or its memory is not
 * what the others would, and the control key is on one of them.
 */
import { CannotCheck } from '../../preflight/check.ts';
import { inRanges, slotOf } from '../copy/slots.ts';
import type { SlotRange } from '../copy/slots.ts';
import { topologyOf } from '../copy/topology.ts';
import { redisProbe, type RedisProbe } from '../preflight/probe.ts';

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
  const opened: RedisProbe[] = [];
  const find = async (): Promise<{ probe: RedisProbe; slots?: readonly SlotRange[] }[]> => {
    const redis = await first.connection().catch(() => {
      throw new CannotCheck(`the ${side} ${first.where} can't be asked (see ${side === 'source' ? 'S0' : 'T0'})`);
    });
    const { cluster, primaries } = await topologyOf(redis, endpoint, side);
    if (!cluster) return [{ probe: first }];
    return primaries.map(({ at, slots }) => {
      if (at.host === endpoint.host && at.port === endpoint.port) return { probe: first, slots };
      const probe = redisProbe(side, { ...endpoint, ...at }, name);
      opened.push(probe);
      return { probe, slots };
    });
  };
  let known: ReturnType<typeof find> | undefined;
  const nodes = () => (known ??= find());
  return {
    all: async () => (await nodes()).map(({ probe }) => probe),
    holding: async (key) => {
      const slot = slotOf(Buffer.from(key));
      const node = (await nodes()).find(({ slots }) => slots === undefined || inRanges(slots, slot));
      if (!node) throw new CannotCheck(`no node of the ${side} holds slot ${slot}`);
      return node.probe;
    },
    close: () => {
      for (const probe of opened) probe.close();
    },
  };
}
