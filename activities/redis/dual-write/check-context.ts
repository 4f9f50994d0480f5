/** What the checks of `redis-dual-write` look at. */
import type { RedisDualWrite } from '../../../spec/kind-redis-dual-write.ts';
import type { Check } from '../../preflight/check.ts';
import type { RedisProbe } from '../preflight/probe.ts';

export interface DualContext {
  migration: RedisDualWrite;
  source: RedisProbe;
  target: RedisProbe;
  /** Before writes are held, what was a warning at the start may be a reason to stop. */
  moment: 'start' | 'before-hold';
}

export type DualCheck = Check<DualContext>;
