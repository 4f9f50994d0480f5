/** Random numbers that are the same on every run: a seed and a key's number say all that is in the key. */

export interface Random {
  /** 0 ≤ x < 1 */
  fraction(): number;
  /** A whole number, from ≤ n ≤ to. */
  between(from: number, to: number): number;
  /** True in `part` of all cases, 0 to 1. */
  chance(part: number): boolean;
  bytes(length: number): Buffer;
  word(length: number): string;
}

const LETTERS = 'abcdefghijklmnopqrstuvwxyz0123456789';

/** A generator of its own for item `index` under `seed`, so that no item depends on how many came before it. */
export function randomOf(seed: number, index: number): Random {
  let state = (Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) ^ Math.imul(index + 1, 0xc2b2ae35)) >>> 0;
  // mulberry32: public domain, passes gjrand's tests, and is four lines.
  const fraction = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
  const between = (from: number, to: number): number => from + Math.floor(fraction() * (to - from + 1));
  return {
    fraction,
    between,
    chance: (part) => fraction() < part,
    bytes: (length) => {
      const bytes = Buffer.allocUnsafe(length);
      for (let i = 0; i < length; i++) bytes[i] = between(0, 255);
      return bytes;
    },
    word: (length) => {
      let word = '';
      for (let i = 0; i < length; i++) word += LETTERS[between(0, LETTERS.length - 1)];
      return word;
    },
  };
}
