/** What the application measures while it runs, from its own side: acknowledgements, errors, and how long writes stood still. */
import { KEY_CONFLICT } from './failure.ts';
import type { PgAddress } from './endpoint.ts';

export interface RedashEndpointStats extends PgAddress {
  acknowledged: number;
  /** Epoch ms. */
  firstAckAt?: number;
  lastAckAt?: number;
  /** Acknowledged transactions by what they were: `create-query`, `execute` … */
  byKind: Record<string, number>;
  /** Attempts that failed, by kind of failure. */
  errors: Record<string, number>;
  /** COMMITs without an answer. */
  unknown: number;
  /** Inserts that met a key which was there: a sequence was behind. */
  keyConflicts: number;
}

export interface RedashStats {
  run: string;
  acknowledged: number;
  /** In the order they were switched to; the last one is the current. */
  endpoints: RedashEndpointStats[];
  /** Attempts that failed, by kind of failure, on all endpoints. */
  errors: Record<string, number>;
  unknown: number;
  /** From the last acknowledgement of the endpoint before to the first of the current one, over all clients, ms. */
  writePauseMs?: number;
  /** The longest that a single client waited across that switch, ms. */
  longestSwitchGapMs?: number;
}

interface Seen {
  acknowledged: number;
  first?: number;
  last?: number;
  byKind: Map<string, number>;
  errors: Map<string, number>;
  unknown: number;
}

export class RedashMeter {
  readonly #seen: Seen[] = [];
  readonly #lastOfClient: { at: number; generation: number }[];
  /** By generation: the longest that a client waited to get there. */
  readonly #switchGaps: number[] = [];

  constructor(clients: number) {
    this.#lastOfClient = Array.from({ length: clients }, () => ({ at: 0, generation: 0 }));
  }

  ack(client: number, at: number, generation: number, kind: string): void {
    const seen = this.#of(generation);
    seen.acknowledged++;
    seen.first ??= at;
    seen.last = at;
    seen.byKind.set(kind, (seen.byKind.get(kind) ?? 0) + 1);
    const before = this.#lastOfClient[client]!;
    if (before.at > 0 && before.generation !== generation) {
      this.#switchGaps[generation] = Math.max(this.#switchGaps[generation] ?? 0, at - before.at);
    }
    this.#lastOfClient[client] = { at, generation };
  }

  error(kind: string, generation: number): void {
    const { errors } = this.#of(generation);
    errors.set(kind, (errors.get(kind) ?? 0) + 1);
  }

  unknown(generation: number): void {
    this.#of(generation).unknown++;
  }

  stats(run: string, endpoints: readonly PgAddress[]): RedashStats {
    const all = endpoints.map(({ host, port, database }, index) => {
      const seen = this.#of(index);
      return {
        host,
        port,
        database,
        acknowledged: seen.acknowledged,
        ...(seen.first === undefined ? {} : { firstAckAt: seen.first }),
        ...(seen.last === undefined ? {} : { lastAckAt: seen.last }),
        byKind: Object.fromEntries(seen.byKind),
        errors: Object.fromEntries(seen.errors),
        unknown: seen.unknown,
        keyConflicts: seen.errors.get(KEY_CONFLICT) ?? 0,
      };
    });
    const errors: Record<string, number> = {};
    for (const one of all)
      for (const [kind, count] of Object.entries(one.errors)) errors[kind] = (errors[kind] ?? 0) + count;
    const [from, to] = [all.at(-2)?.lastAckAt, all.at(-1)?.firstAckAt];
    const switchGap = this.#switchGaps[endpoints.length - 1];
    return {
      run,
      acknowledged: all.reduce((sum, one) => sum + one.acknowledged, 0),
      endpoints: all,
      errors,
      unknown: all.reduce((sum, one) => sum + one.unknown, 0),
      ...(from !== undefined && to !== undefined ? { writePauseMs: to - from } : {}),
      ...(switchGap === undefined ? {} : { longestSwitchGapMs: switchGap }),
    };
  }

  #of(generation: number): Seen {
    return (this.#seen[generation] ??= { acknowledged: 0, byKind: new Map(), errors: new Map(), unknown: 0 });
  }
}
