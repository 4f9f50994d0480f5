import { createHash } from 'node:crypto';

const LONGEST_SHOWN = 120;

/** A key's name for people: printable ASCII as it is, every other byte as \xHH, cut at 120 characters. */
export function printable(key: Buffer): string {
  let text = '';
  for (const byte of key) {
    if (text.length >= LONGEST_SHOWN) return `${text}… (${key.length} bytes)`;
    if (byte === 0x5c) text += '\\\\';
    else if (byte >= 0x20 && byte < 0x7f) text += String.fromCharCode(byte);
    else text += `\\x${byte.toString(16).padStart(2, '0')}`;
  }
  return text;
}

/** One Redis glob as the source of a regular expression over latin1 text: one character is one byte. */
function globSource(pattern: string): string {
  const glob = Buffer.from(pattern).toString('latin1');
  const literal = (char: string) => char.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&');
  let source = '';
  for (let i = 0; i < glob.length; i++) {
    const char = glob[i] ?? '';
    const close = char === '[' ? glob.indexOf(']', i + 2) : -1;
    if (char === '*') source += '[^]*';
    else if (char === '?') source += '[^]';
    else if (char === '\\' && i + 1 < glob.length) source += literal(glob[++i] ?? '');
    else if (close > 0) {
      const negated = glob[i + 1] === '^';
      const members = glob.slice(i + (negated ? 2 : 1), close);
      source += `[${negated ? '^' : ''}${members.replace(/[\\[\]^]/g, '\\$&')}]`;
      i = close;
    } else source += literal(char);
  }
  return source;
}

/** A test for names that match any of the globs (Redis syntax: * ? [a-z] [^a] and \ for a literal). */
export function matcher(globs: readonly string[]): (key: Buffer) => boolean {
  if (globs.length === 0) return () => false;
  const any = new RegExp(`^(?:${globs.map(globSource).join('|')})$`);
  return (key) => any.test(key.toString('latin1'));
}

/**
 * A test that picks the given share of all names by their hash: no state, so that both sides, a resumed run and
 * the next run pick the same keys. FNV-1a with a final mix, because FNV alone spreads short names badly in its high bits.
 */
export function sampler(ratio: number): (key: Buffer) => boolean {
  const limit = ratio * 2 ** 32;
  return (key) => {
    let hash = 0x811c9dc5;
    for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ (key[i] ?? 0), 0x01000193);
    hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
    hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
    return (hash ^ (hash >>> 16)) >>> 0 < limit;
  };
}

/** Remembers names in little memory, so that a key that SCAN gives twice is counted once; forgets nothing up to its limit. */
export class SeenKeys {
  #seen = new Set<string>();
  /** True the first time. Beyond 100,000 names it answers true always: a count is then an upper bound. */
  first(db: number, key: Buffer, kind: string): boolean {
    const id = createHash('sha1').update(`${db} ${kind} `).update(key).digest('base64');
    if (this.#seen.has(id)) return false;
    if (this.#seen.size < 100_000) this.#seen.add(id);
    return true;
  }
}
