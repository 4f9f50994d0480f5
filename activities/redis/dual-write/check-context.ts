/** What the checks of `redis-dual-write` look at. */
import type { RedisDualWrite } from '../../../spec/kind-redis-dual-write.ts';
import type { Check } from '../../preflight/check.ts';
import type { RedisProbe } from '../preflight/probe.ts';
import type { SideNodes } from './nodes.ts';

export interface DualContext {
  migration: RedisDualWrite;
  source: RedisProbe;
  target: RedisProbe;
  /** Every server of a side, where it is a cluster. */
  nodes: { readonly source: SideNodes; readonly target: SideNodes };
  /** Before writes are held, what was a warning at the start may be a reason to stop. */
  moment: 'start' | 'before-hold';
}

export type DualCheck = Check<DualContext>;
