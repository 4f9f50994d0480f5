/** What the checks of `engine: scan` look at: every primary of both sides. */
import type { RedisOnlineScan } from '../../../spec/kind-redis-online.ts';
import type { RedisEndpoint } from '../../../spec/values.ts';
import { CannotCheck, type Check } from '../../preflight/check.ts';
import { topologyOf, type Topology } from '../copy/topology.ts';
import { CopyError } from '../copy/types.ts';
import { primaryProbes, type PrimaryProbe } from './primary-probes.ts';
import { redisProbe, type RedisProbe } from './probe.ts';

export type ScanNode = PrimaryProbe;

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
  let known: Promise<Topology> | undefined;
  const topology = () => (known ??= topologyBy(entry));
  const nodes = primaryProbes(entry, name, () =>
    topology().catch((error: unknown) => {
      if (!(error instanceof CopyError)) throw error;
      throw new CannotCheck(`the primaries of the ${side} are not known (see ${rowOf(side, '.cluster')})`);
    }),
  );
  return {
    side,
    entry,
    topology,
    nodes: nodes.all,
    nodeOf: nodes.holding,
    close: () => {
      nodes.close();
      entry.close();
    },
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
