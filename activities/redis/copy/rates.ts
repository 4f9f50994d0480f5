/** Keys and bytes per second over the last seconds, not since the start: what a throttle or a busy server does must show. */
const WINDOW_MS = 10_000;

export class Rates {
  #marks: { at: number; keys: number; bytes: number }[] = [];

  mark(keys: number, bytes: number): { keysPerSecond: number; bytesPerSecond: number } {
    const at = performance.now();
    this.#marks.push({ at, keys, bytes });
    while (this.#marks.length > 2 && at - (this.#marks[0]?.at ?? at) > WINDOW_MS) this.#marks.shift();
    const first = this.#marks[0]!;
    const seconds = (at - first.at) / 1000;
    if (seconds <= 0) return { keysPerSecond: 0, bytesPerSecond: 0 };
    return {
      keysPerSecond: Math.round((keys - first.keys) / seconds),
      bytesPerSecond: Math.round((bytes - first.bytes) / seconds),
    };
  }
}
