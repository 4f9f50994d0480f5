/** Hash slots: CRC16 of a key's hash tag, modulo 16384 (the Redis Cluster specification). */
import { SLOTS } from '../../../spec/slots.ts';

export { SLOTS };
export type SlotRange = readonly [from: number, to: number];
export const ALL_SLOTS: readonly SlotRange[] = [[0, SLOTS - 1]];

/** CRC16-XMODEM: polynomial 0x1021, begun at 0. */
const TABLE = Uint16Array.from({ length: 256 }, (_, byte) => {
  let crc = byte << 8;
  for (let bit = 0; bit < 8; bit++) crc = crc & 0x8000 ? (crc << 1) ^ 0x1021 : crc << 1;
  return crc & 0xffff;
});

/** The slot of a key. Of `{tag}` alone, where the first braces have something between them. */
export function slotOf(key: Buffer): number {
  const open = key.indexOf(0x7b);
  const close = open === -1 ? -1 : key.indexOf(0x7d, open + 1);
  const hashed = close > open + 1 ? key.subarray(open + 1, close) : key;
  let crc = 0;
  for (const byte of hashed) crc = ((crc << 8) ^ (TABLE[(crc >> 8) ^ byte] ?? 0)) & 0xffff;
  return crc % SLOTS;
}

/** A hash tag of each slot; made on first use, in some 50 ms. */
let tags: string[] | undefined;

/** A short tag T such that `{T}` lies in the slot: so a temporary key lies beside its key, whatever that is called. */
export function tagOf(slot: number): string {
  if (!tags) {
    tags = [];
    for (let i = 0, found = 0; found < SLOTS; i++) {
      const tag = i.toString(36);
      const at = slotOf(Buffer.from(tag));
      if (tags[at] !== undefined) continue;
      tags[at] = tag;
      found++;
    }
  }
  return tags[slot] ?? '';
}

export const inRanges = (ranges: readonly SlotRange[], slot: number): boolean =>
  ranges.some(([from, to]) => slot >= from && slot <= to);

/** Whether the key lies in a slot of this node; a single server has them all. */
export const hasKey = ({ slots }: { slots: readonly SlotRange[] }, key: Buffer | string): boolean =>
  inRanges(slots, slotOf(typeof key === 'string' ? Buffer.from(key) : key));

/** `0-5460, 7000`. */
export const rangesText = (ranges: readonly SlotRange[]): string =>
  ranges.map(([from, to]) => (from === to ? `${from}` : `${from}-${to}`)).join(', ');

/**
 * The part of a node whose keys may differ between source and target because events were missed. In 2 KB a database,
 * however many keys were touched.
 */
export class DirtySlots {
  #all = false;
  #byDb = new Map<number, Uint8Array>();

  get any(): boolean {
    return this.#all || this.#byDb.size > 0;
  }

  markAll(): void {
    this.#all = true;
  }

  mark(db: number, key: Buffer): void {
    const slot = slotOf(key);
    let bits = this.#byDb.get(db);
    if (!bits) this.#byDb.set(db, (bits = new Uint8Array(SLOTS / 8)));
    bits[slot >> 3] = (bits[slot >> 3] ?? 0) | (1 << (slot & 7));
  }

  has(db: number, key: Buffer): boolean {
    if (this.#all) return true;
    const bits = this.#byDb.get(db);
    if (!bits) return false;
    const slot = slotOf(key);
    return ((bits[slot >> 3] ?? 0) & (1 << (slot & 7))) !== 0;
  }

  /** The databases that are dirty; undefined: any of them. */
  get databases(): number[] | undefined {
    return this.#all ? undefined : [...this.#byDb.keys()];
  }

  /** Hands out what is dirty and begins anew: what is marked from now on is for the next pass. */
  take(): DirtySlots {
    const taken = new DirtySlots();
    taken.#all = this.#all;
    taken.#byDb = this.#byDb;
    this.#all = false;
    this.#byDb = new Map();
    return taken;
  }
}
