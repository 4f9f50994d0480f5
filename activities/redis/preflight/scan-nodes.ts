/** A check of every primary of a side, as one report. */
import type { Check, Finding } from '../../preflight/check.ts';
import type { RedisProbe } from './probe.ts';
import type { ScanCheck, ScanContext, ScanNode, ScanSide } from './scan-context.ts';

interface NodeCheck extends Pick<Check<ScanContext>, 'id' | 'title' | 'severity' | 'cheap'> {
  /** Commands for one node; those of several are written one after the other, so no comment may stand in them. */
  remedy(probe: RedisProbe, context: ScanContext): string;
  byHand(probe: RedisProbe, context: ScanContext): string;
  run(node: ScanNode, context: ScanContext): Promise<Finding>;
}

/** The check of each primary, with the nodes named that did not pass. */
export function everyPrimary(side: ScanSide['side'], check: NodeCheck): ScanCheck {
  return {
    ...check,
    remedy: (c) => check.remedy(c[side].entry, c),
    byHand: (c) => check.byHand(c[side].entry, c),
    run: (c) =>
      overNodes(
        c[side],
        check.severity,
        (node) => check.run(node, c),
        (node) => check.remedy(node.probe, c),
      ),
  };
}

type Judged = Finding & { node: ScanNode };

/**
 * The worst of what was found on the nodes. What can't be known of one node is worse than a warning: nothing passes
 * because a node was away.
 * @throws CannotCheck where the nodes can't be told
 */
export async function overNodes(
  side: ScanSide,
  severity: 'fail' | 'warn',
  run: (node: ScanNode) => Promise<Finding>,
  remedy: (node: ScanNode) => string,
): Promise<Finding> {
  const nodes = await side.nodes();
  if (nodes.length === 1 && nodes[0]) return run(nodes[0]);
  const judged = await Promise.all(
    nodes.map(async (node): Promise<Judged> => {
      const found = await run(node).catch((error: unknown): Finding => ({ result: 'unknown', found: told(error) }));
      return { ...found, node, result: found.result === 'unmet' ? severity : found.result };
    }),
  );
  const worst = WORST.find((result) => judged.some((one) => one.result === result)) ?? 'unknown';
  const named = judged.filter(({ result }) => result === worst || worst === 'pass');
  const texts = new Set(named.map(({ found }) => found));
  const found =
    texts.size === 1 && named.length === judged.length
      ? `${nodes.length} nodes: ${named[0]?.found}`
      : named
          .map((one) =>
            one.found.includes(one.node.probe.where) ? one.found : `${one.node.probe.where}: ${one.found}`,
          )
          .join('; ');
  const finding: Finding = { result: worst, found };
  if (worst === 'pass') return finding;
  const mends = named.flatMap((one) => one.remedy ?? (worst === 'unknown' ? [] : [remedy(one.node)]));
  return mends.length === 0 ? finding : { ...finding, remedy: [...new Set(mends)].join('; ') };
}

const WORST = ['fail', 'unknown', 'warn', 'pass'] as const;

const told = (error: unknown): string => (error instanceof Error ? error.message : String(error));
