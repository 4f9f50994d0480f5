/** The migration's own memory beside the control key. */
import { dualKeys } from '../../../spec/dual-write.ts';

/** Whether the target was empty before this migration: `empty` or `had keys`. Outlives an abort that leaves data there. */
export const memoKey = (id: string): string => dualKeys(id).phase.replace(/phase$/, 'target-before');
