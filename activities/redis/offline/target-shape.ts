/** What the new group is to be, and how much each of its nodes holds: for the checks of `redis-offline`. */
import { SLOTS, slotRanges } from '../../../spec/slots.ts';
import { nodeRoom, type NodeRoom } from '../../elasticache/node-room.ts';
import { restoreShape, type RestoreShape } from '../../elasticache/restore-shape.ts';
import { CannotCheck } from '../../preflight/check.ts';
import type { SlotRange } from '../copy/slots.ts';
import type { OfflineContext } from './context.ts';

export const shapeOf = ({ restore }: OfflineContext): RestoreShape => restoreShape(restore.migration, { s3: [] });

/** Of each shard; all of them in one without cluster mode. */
export const slotsOfShards = (c: OfflineContext): SlotRange[][] =>
  shapeOf(c).shards.map(({ slots }) => slotRanges(slots ?? `0-${SLOTS - 1}`));

/** Of all slots, 0 to 1. */
export const shareOf = (ranges: readonly SlotRange[]): number =>
  ranges.reduce((sum, [from, to]) => sum + to - from + 1, 0) / SLOTS;

/** Of one node. @throws CannotCheck where AWS does not tell it */
export async function roomOf(c: OfflineContext): Promise<NodeRoom> {
  const { parameterGroup, nodeType } = shapeOf(c);
  if (parameterGroup === undefined) {
    throw new CannotCheck("AWS's default parameter group is not known here; name to.engineVersion");
  }
  return nodeRoom({ parameterGroup, nodeType, aws: c.migration.aws });
}
