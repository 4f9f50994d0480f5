import type { Redis } from 'ioredis';
import type { Abilities } from './abilities.ts';
import type { Patience } from './settle.ts';

export interface DeepSide {
  redis: Redis;
  abilities: Abilities;
}

export interface DeepContext {
  source: DeepSide;
  target: DeepSide;
  patience: Patience;
}

/** `moved`: gone or of another type meanwhile, to be judged as a key again. */
export interface DeepVerdict {
  outcome: 'same' | 'differs' | 'unsettled' | 'moved' | 'uncompared';
  /** In words, without values. */
  what?: string;
}
