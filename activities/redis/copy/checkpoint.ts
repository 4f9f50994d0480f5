/** When a checkpoint may be used, and which options go together. */
import { createHash } from 'node:crypto';
import type { Server } from './server.ts';
import type { Target } from './target.ts';
import { CopyError } from './types.ts';
import type { CopyCheckpoint, CopyOptions } from './types.ts';

/** Digest of the options that decide which keys are copied, and what becomes of those that the target has. */
export function optionsDigest({ databases, ignore, mode }: CopyOptions): string {
  return createHash('sha1')
    .update(JSON.stringify([databases ?? null, ignore, mode]))
    .digest('hex')
    .slice(0, 16);
}

/** Digest of the processes that hold a side's keys. */
export function processesOf(side: Target): string {
  const processes = side.servers.map(({ runId }) => runId).toSorted();
  return createHash('sha1').update(processes.join()).digest('hex').slice(0, 16);
}

/**
 * The checkpoint, as far as it holds: a SCAN cursor means nothing to another process (a restart, a failover), nor to a
 * node that has other slots by now. Such a node begins anew; notes say so.
 */
export function usable(
  checkpoint: CopyCheckpoint | undefined,
  options: CopyOptions,
  servers: readonly Server[],
  target: Target,
  note: (text: string) => void,
): CopyCheckpoint | undefined {
  if (!checkpoint) return undefined;
  if (checkpoint.version !== 1 || checkpoint.options !== optionsDigest(options)) {
    note('begun anew: the checkpoint was made with other options');
    return undefined;
  }
  if (checkpoint.targets !== processesOf(target)) {
    note('begun anew: the target is another process than before, and may have lost what was copied');
    return { ...checkpoint, nodes: [] };
  }
  const sameSlots =
    checkpoint.nodes
      .map(({ id, slots }) => `${id} ${slots}`)
      .toSorted()
      .join() ===
    servers
      .map(({ id, slotsText }) => `${id} ${slotsText}`)
      .toSorted()
      .join();
  if (!sameSlots) {
    // A slot may have gone from a node that was not scanned yet to one that was.
    note('begun anew: nodes or slots of the source are not those of the checkpoint');
    return { ...checkpoint, nodes: [] };
  }
  const nodes = checkpoint.nodes.filter(({ id, runId }) => {
    const server = servers.find((one) => one.id === id);
    if (runId !== '' && server?.runId === runId) return true;
    note(`${server?.name ?? id} is copied from its start again: it is another process than before`);
    return false;
  });
  return { ...checkpoint, nodes };
}

/** @throws CopyError OPTIONS_INVALID */
export function checkOptions(options: CopyOptions, follow: boolean): void {
  if (follow && options.mode === 'keep') {
    throw new CopyError('OPTIONS_INVALID', 'copy: mode keep and following exclude each other', {
      remedy: 'a followed key is written again each time it is touched: mode replace',
    });
  }
}
