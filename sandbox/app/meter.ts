/** What the application measures while it runs, from its own side: rates, errors, and how long writes stood still. */
import type { Endpoint } from './acknowledged.ts';

export interface EndpointStats {
  host: string;
  port: number;
  acknowledged: number;
  /** Epoch ms. */
  firstAckAt?: number;
  lastAckAt?: number;
}

export interface AppStats {
  acknowledged: number;
  /** In the order they were switched to; the last one is the current. */
  endpoints: EndpointStats[];
  /** Over the last second. */
  acksPerSecond: number;
  /** Attempts that did not get an acknowledgement, by kind: NOREPLICAS, READONLY, ECONNREFUSED … */
  errors: Record<string, number>;
  /** Attempts without an answer. */
  ambiguous: number;
  /** The longest time that any client was without an acknowledgement, ms, between two of them. */
  longestGapMs: number;
  /** From the last acknowledgement of the endpoint before to the first of the current one, over all clients, ms. */
  writePauseMs?: number;
  /** The longest that a single client waited across that switch, ms. */
  longestSwitchGapMs?: number;
}

const SLOTS = 10;
const SLOT_MS = 100;

export class AppMeter {
  #acknowledged = 0;
  #ambiguous = 0;
  #longestGap = 0;
  readonly #endpoints: { acknowledged: number; first: number; last: number }[] = [];
  readonly #errors = new Map<string, number>();
  readonly #lastOfClient: { at: number; generation: number }[];
  /** By generation: the longest that a client waited to get there. */
  readonly #switchGaps: number[] = [];
  readonly #slots: { slot: number; acks: number }[] = Array.from({ length: SLOTS + 1 }, () => ({ slot: -1, acks: 0 }));

  constructor(clients: number) {
    this.#lastOfClient = Array.from({ length: clients }, () => ({ at: 0, generation: 0 }));
  }

  ack(client: number, at: number, generation: number, ambiguous: number): void {
    this.#acknowledged++;
    this.#ambiguous += ambiguous;
    const endpoint = (this.#endpoints[generation] ??= { acknowledged: 0, first: at, last: at });
    endpoint.acknowledged++;
    endpoint.last = at;
    const before = this.#lastOfClient[client]!;
    if (before.at > 0) {
      const gap = at - before.at;
      this.#longestGap = Math.max(this.#longestGap, gap);
      if (before.generation !== generation) {
        this.#switchGaps[generation] = Math.max(this.#switchGaps[generation] ?? 0, gap);
      }
    }
    this.#lastOfClient[client] = { at, generation };
    const slot = Math.floor(at / SLOT_MS);
    const counted = this.#slots[slot % this.#slots.length]!;
    if (counted.slot !== slot) Object.assign(counted, { slot, acks: 0 });
    counted.acks++;
  }

  error(kind: string): void {
    this.#errors.set(kind, (this.#errors.get(kind) ?? 0) + 1);
  }

  stats(endpoints: readonly Endpoint[], at: number): AppStats {
    const current = Math.floor(at / SLOT_MS);
    const recent = this.#slots.filter(({ slot }) => slot >= current - SLOTS && slot < current);
    const last = endpoints.length - 1;
    const [from, to] = [this.#endpoints[last - 1], this.#endpoints[last]];
    const switchGap = this.#switchGaps[last];
    return {
      acknowledged: this.#acknowledged,
      acksPerSecond: Math.round((recent.reduce((sum, { acks }) => sum + acks, 0) * 1_000) / (SLOTS * SLOT_MS)),
      errors: Object.fromEntries(this.#errors),
      ambiguous: this.#ambiguous,
      longestGapMs: this.#longestGap,
      endpoints: endpoints.map(({ host, port }, index) => {
        const seen = this.#endpoints[index];
        if (seen === undefined) return { host, port, acknowledged: 0 };
        return { host, port, acknowledged: seen.acknowledged, firstAckAt: seen.first, lastAckAt: seen.last };
      }),
      ...(from && to ? { writePauseMs: to.first - from.last } : {}),
      ...(switchGap === undefined ? {} : { longestSwitchGapMs: switchGap }),
    };
  }
}
