/** The 16,384 slots of cluster mode: shared out evenly, and whether a list of ranges has each of them once. Pure. */
export const SLOTS = 16_384;

/** Even shares, as AWS cuts them: `0-8191`, `8192-16383`. */
export function evenSlots(shards: number): string[] {
  const from = (index: number) => Math.round((index * SLOTS) / shards);
  return Array.from({ length: shards }, (_, index) => `${from(index)}-${from(index + 1) - 1}`);
}

/** The ranges of `0-100,200`. */
export const slotRanges = (slots: string): [from: number, to: number][] =>
  slots.split(',').map((range) => {
    const [from = Number.NaN, to = from] = range.split('-').map(Number);
    return [from, to];
  });

/** What is wrong with the slots of all shards together, as a sentence; undefined where each slot is there once. */
export function slotGap(shards: readonly string[]): string | undefined {
  const owned = new Set<number>();
  for (const [low, high] of shards.flatMap(slotRanges)) {
    if (!(low <= high) || high >= SLOTS) {
      return `expected slots from 0 to ${SLOTS - 1}, lower end first, not ${low === high ? low : `${low}-${high}`}`;
    }
    for (let slot = low; slot <= high; slot++) {
      if (owned.has(slot)) return `expected each slot once: ${slot} is in two shards`;
      owned.add(slot);
    }
  }
  if (owned.size === SLOTS) return undefined;
  let missing = 0;
  while (owned.has(missing)) missing += 1;
  return `expected all slots from 0 to ${SLOTS - 1}: ${SLOTS - owned.size} are in no shard, the first is ${missing}`;
}
