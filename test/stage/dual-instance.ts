/** What an instance of an application writes of itself: one that follows phase both, and has nothing under way. */
import { DUAL_WRITE_PROTOCOL, type DualInstance } from '../../spec/dual-write.ts';

export const dualInstance = (more: Partial<DualInstance> = {}): DualInstance => ({
  protocol: DUAL_WRITE_PROTOCOL,
  epoch: 1,
  phase: 'both',
  reads: 'source',
  at: 1,
  host: 'web-1',
  pid: 7,
  version: '1',
  held: 0,
  pending: 0,
  queued: 0,
  recorded: 0,
  failedSecondWrites: 0,
  ...more,
});
