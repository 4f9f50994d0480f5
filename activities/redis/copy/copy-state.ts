/** Where a copy stands, for people: nodes, rates, what is left. */
import type { CopyNode, CopyTotals } from '../../../spec/redis-copy.ts';
import type { Follower } from './follow.ts';
import type { Rates } from './rates.ts';
import type { NodeScan } from './scan-node.ts';
import type { CopyState } from './types.ts';

export interface Standing {
  phase: CopyState['phase'];
  /** The scan of every node is over. */
  scanned: boolean;
  scans: readonly NodeScan[];
  /** undefined: nothing is followed. */
  follower: Follower | undefined;
  rates: Rates;
  totals: CopyTotals;
}

export function stateOf({ phase, scanned, scans, follower, rates, totals }: Standing): CopyState {
  const nodes = scans.map((scan): CopyNode => {
    const { server } = scan;
    return {
      id: server.id,
      slots: server.slotsText,
      keys: scan.keys,
      keysTotal: scan.keysTotal,
      state: nodeState(scan, follower),
    };
  });
  const seen = nodes.reduce((sum, { keys }) => sum + keys, 0);
  const total = nodes.reduce((sum, { keysTotal }) => sum + keysTotal, 0);
  const pace = rates.mark(seen, totals.bytes);
  const hearsAll = follower?.hearsAll ?? true;
  return {
    phase: phase === 'following' && !hearsAll ? 'reconciling' : phase,
    nodes,
    ...pace,
    etaMs: scanned || pace.keysPerSecond === 0 ? 0 : Math.round(((total - seen) / pace.keysPerSecond) * 1000),
    queued: follower?.queued ?? 0,
    oldestMs: follower?.oldestMs ?? 0,
    inSync: scanned && hearsAll,
    totals,
  };
}

function nodeState({ server, over }: NodeScan, follower: Follower | undefined): CopyNode['state'] {
  if (follower?.subscriptions.some((one) => one.server === server && !one.up)) return 'deaf';
  if (follower?.reconciling === server || (over && server.dirty.any)) return 'reconciling';
  return over ? 'scanned' : 'scanning';
}
