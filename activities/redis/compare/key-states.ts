/** When two sides' readings of one key agree, and what to call it when they do not. */
import type { Redis } from 'ioredis';
import { askAll } from './replies.ts';
import type { Command } from './replies.ts';
import type { DifferenceKind, KeyState } from './types.ts';

/** A key's state with its server's clock (Unix ms) at that reading. */
export interface TimedState extends KeyState {
  nowMs: number;
}

export const TOO_LARGE = 'B';

/** Without PEXPIRETIME an expiry is computed from PTTL and TIME, and is off by as long as the call took. */
const PTTL_SLACK_MS = 50;

export class Judge {
  readonly toleranceMs: number;
  readonly #slackMs: number;

  constructor(toleranceMs: number, exact: boolean) {
    this.#slackMs = exact ? 0 : PTTL_SLACK_MS;
    this.toleranceMs = Math.max(toleranceMs, this.#slackMs);
  }

  /** A key that one side has no more agrees with one that lives no longer than the tolerance: both expire as one. */
  same = (source: TimedState, target: TimedState): boolean => {
    if (source.type === 'none' && target.type === 'none') return true;
    if (source.type === 'none') return this.#expiring(target);
    if (target.type === 'none') return this.#expiring(source);
    return (
      source.type === target.type && this.#sameExpiry(source, target, this.toleranceMs) && sameValue(source, target)
    );
  };

  /** Two readings of one side. */
  unchanged = (before: TimedState, after: TimedState): boolean =>
    before.type === after.type && before.digest === after.digest && this.#sameExpiry(before, after, this.#slackMs);

  /** What differs; type alone where types differ. */
  kinds(source: TimedState, target: TimedState): DifferenceKind[] {
    if (source.type === 'none') return target.type === 'none' ? [] : ['extra'];
    if (target.type === 'none') return ['missing'];
    if (source.type !== target.type) return ['type'];
    const kinds: DifferenceKind[] = [];
    if (!this.#sameExpiry(source, target, this.toleranceMs)) kinds.push('ttl');
    if (!sameValue(source, target)) kinds.push('value');
    return kinds;
  }

  #expiring(state: TimedState): boolean {
    return state.expireAt !== undefined && state.expireAt - state.nowMs <= this.toleranceMs;
  }

  #sameExpiry(a: KeyState, b: KeyState, toleranceMs: number): boolean {
    if (a.expireAt === undefined || b.expireAt === undefined) return a.expireAt === b.expireAt;
    return Math.abs(a.expireAt - b.expireAt) <= toleranceMs;
  }
}

/** A value too large to digest on either side is judged elsewhere. */
const sameValue = (a: KeyState, b: KeyState) =>
  a.digest === b.digest || a.digest === TOO_LARGE || b.digest === TOO_LARGE;

const COUNTED: Record<string, [command: string, unit: string]> = {
  string: ['STRLEN', 'bytes'],
  list: ['LLEN', 'members'],
  set: ['SCARD', 'members'],
  zset: ['ZCARD', 'members'],
  hash: ['HLEN', 'fields'],
  stream: ['XLEN', 'entries'],
};

/** A key in words, without any of its data. Its size is read now; it may have moved since. */
export async function describe(redis: Redis, key: Buffer, state: TimedState): Promise<string> {
  if (state.type === 'none') return 'no such key';
  const counted = COUNTED[state.type];
  const sizeCommand: Command[] = counted ? [[counted[0], key]] : [];
  const [size] = await askAll<number | null>(redis, sizeCommand, /^WRONGTYPE/);
  const value = counted ? `${state.type} of ${size ?? '?'} ${counted[1]}` : `${state.type} (compared by DUMP alone)`;
  if (state.expireAt === undefined) return `${value}, no expiry`;
  return `${value}, expires ${new Date(Math.min(state.expireAt, 8.64e15)).toISOString()}`;
}
