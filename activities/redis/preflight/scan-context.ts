/** What the checks of `engine: scan` look at: every primary of both sides. */
import type { RedisOnlineScan } from '../../../spec/kind-redis-online.ts';
import type { RedisEndpoint } from '../../../spec/values.ts';
import { CannotCheck, type Check } from '../../preflight/check.ts';
import { inRanges, slotOf } from '../copy/slots.ts';
import { topologyOf, type Primary, type Topology } from '../copy/topology.ts';
import { CopyError } from '../copy/types.ts';
import { redisProbe, type RedisProbe } from './probe.ts';

export interface ScanNode extends Primary {
  probe: RedisProbe;
}

export interface ScanSide {
  side: 'source' | 'target';
  /** The server that the file names. */
  entry: RedisProbe;
  /** As the named server tells it. @throws CopyError OBSTACLE where its cluster is not well; CannotCheck */
  topology(): Promise<Topology>;
  /** One probe for each primary; a single server is its own. @throws CannotCheck where they can't be told */
  nodes(): Promise<ScanNode[]>;
  /** The primary that has this key. @throws CannotCheck */
  nodeOf(key: string): Promise<ScanNode>;
  close(): void;
}

export interface ScanContext {
  migration: RedisOnlineScan;
  /** Before the fence the target is full, and ours; at the start it is empty, and nobody's. */
  moment: 'before-attach' | 'before-fence';
  source: ScanSide;
  target: ScanSide;
}

export type ScanCheck = Check<ScanContext>;

export function scanContext(migration: RedisOnlineScan, moment: ScanContext['moment']): ScanContext {
  const name = `cutover:${migration.id}:preflight`;
  return {
    migration,
    moment,
    source: scanSide('source', migration.source, name),
    target: scanSide('target', migration.target, name),
  };
}

/** `S…` for the source, `T…` for the target: the rows of facts/redis-aws 4.1. */
export const rowOf = (side: 'source' | 'target', row: string): string => `${side === 'source' ? 'S' : 'T'}${row}`;

function scanSide(side: 'source' | 'target', endpoint: RedisEndpoint, name: string): ScanSide {
  const entry = redisProbe(side, endpoint, name);
  const opened = [entry];
  const open = (at: { host: string; port: number }): RedisProbe => {
    if (at.host === endpoint.host && at.port === endpoint.port) return entry;
    const probe = redisProbe(side, { ...endpoint, ...at }, name);
    opened.push(probe);
    return probe;
  };
  let topology: Promise<Topology> | undefined;
  let nodes: Promise<ScanNode[]> | undefined;
  const topologyOnce = () => (topology ??= topologyBy(entry));
  const nodesOnce = () =>
    (nodes ??= topologyOnce().then(
      ({ primaries }) => primaries.map((primary) => ({ ...primary, probe: open(primary.at) })),
      (error: unknown) => {
        if (!(error instanceof CopyError)) throw error;
        throw new CannotCheck(`the primaries of the ${side} are not known (see ${rowOf(side, '.cluster')})`);
      },
    ));
  return {
    side,
    entry,
    topology: topologyOnce,
    nodes: nodesOnce,
    nodeOf: async (key) => {
      const found = (await nodesOnce()).find(({ slots }) => inRanges(slots, slotOf(Buffer.from(key))));
      if (!found) throw new CannotCheck(`no node of the ${side} has the slot of ${key}`);
      return found;
    },
    close: () => opened.forEach((probe) => probe.close()),
  };
}

/** The cluster as this node sees it. @throws CopyError OBSTACLE; CannotCheck */
export async function topologyBy(probe: RedisProbe): Promise<Topology> {
  await probe.info();
  const { host, port } = probe.endpoint;
  try {
    return await topologyOf(await probe.connection(), { host, port }, probe.side);
  } catch (error) {
    if (error instanceof CopyError) throw error;
    throw new CannotCheck(`CLUSTER on ${probe.where}: ${error instanceof Error ? error.message : String(error)}`);
  }
}
