/**
 * The primaries of a side, for the checks: of a cluster, what one node says of its clients, its keys or its memory is not
 * what the others would.
 */
import { CannotCheck } from '../../preflight/check.ts';
import { hasKey } from '../copy/slots.ts';
import type { Primary, Topology } from '../copy/topology.ts';
import { redisProbe, type RedisProbe } from './probe.ts';

export interface PrimaryProbe extends Primary {
  probe: RedisProbe;
}

export interface PrimaryProbes {
  /** One, or the primaries of the cluster. @throws what `topology` throws */
  readonly all: () => Promise<PrimaryProbe[]>;
  /** The one that has this key. @throws as `all`; CannotCheck */
  readonly holding: (key: string) => Promise<PrimaryProbe>;
  readonly close: () => void;
}

/**
 * @param entry the server that the file names; it is one of them, and not closed here
 * @param topology asked once
 */
export function primaryProbes(entry: RedisProbe, name: string, topology: () => Promise<Topology>): PrimaryProbes {
  const { endpoint, side } = entry;
  const opened: RedisProbe[] = [];
  const open = (at: Primary['at']): RedisProbe => {
    if (at.host === endpoint.host && at.port === endpoint.port) return entry;
    const probe = redisProbe(side, { ...endpoint, ...at }, name);
    opened.push(probe);
    return probe;
  };
  const find = async () => (await topology()).primaries.map((primary) => ({ ...primary, probe: open(primary.at) }));
  let known: ReturnType<typeof find> | undefined;
  const all = () => (known ??= find());
  return {
    all,
    holding: async (key) => {
      const found = (await all()).find((node) => hasKey(node, key));
      if (!found) throw new CannotCheck(`no node of the ${side} has the slot of ${key}`);
      return found;
    },
    close: () => opened.forEach((probe) => probe.close()),
  };
}
