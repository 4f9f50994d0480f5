/** Reads keys of one side as digests: by script where the server allows it, by plain commands where not. */
import type { Redis } from 'ioredis';
import type { Abilities } from './abilities.ts';
import { digestPlainly } from './digest-plain.ts';
import { CLUSTER_DIGEST_SCRIPT, DIGEST_SCRIPT } from './digest-script.ts';
import { ownScript } from '../own-scripts.ts';
import { ask } from './replies.ts';
import type { Depth, KeyState } from './types.ts';

/** Larger keys (bytes of memory) are no business of a script: at 64 KB DUMP and SHA-1 take about half a millisecond. */
export const BIG_BYTES = 65_536;
const BUDGET_BYTES = 262_144;
const MOST_KEYS = 250;
const FEWEST_KEYS = 8;
/** A script blocks its server: above this the next calls get fewer keys. */
const LONGEST_CALL_US = 5_000;

const SCRIPT = ownScript(DIGEST_SCRIPT);
const CLUSTER_SCRIPT = ownScript(CLUSTER_DIGEST_SCRIPT);

/** Lines as in digest-script.ts, one per key, in the keys' order. */
export interface Page {
  nowMs: number;
  /** Equal bytes on both sides mean equal keys, unless some are big. */
  lines: Buffer;
  bigs: number;
}

/** The lines of a page, taken apart. */
export function parsePage(page: Page): KeyState[] {
  return page.lines
    .toString('latin1')
    .split('\n')
    .map((line) => {
      if (line === '-') return { type: 'none', digest: '-', expireAt: undefined };
      const [digest = '', type = '', expireAt] = line.split(' ');
      return { type, digest, expireAt: expireAt === undefined ? undefined : Number(expireAt) };
    });
}

export class Reader {
  readonly side: 'source' | 'target';
  readonly abilities: Abilities;
  #scripts: boolean;
  #keysPerCall = MOST_KEYS;
  #slowCalls = 0;
  #roundTripMs: number;
  readonly #note: (text: string) => void;
  readonly #clusterNode: boolean;

  /**
   * @param roundTripMs a bare round trip to the server, taken off what a call took where the script can't tell the time itself
   * @param clusterNode the keys may lie in several slots, all of them this node's
   */
  constructor(
    side: Reader['side'],
    abilities: Abilities,
    roundTripMs: number,
    note: (text: string) => void,
    clusterNode = false,
  ) {
    this.side = side;
    this.abilities = abilities;
    this.#scripts = abilities.eval !== undefined;
    this.#roundTripMs = roundTripMs;
    this.#note = note;
    this.#clusterNode = clusterNode;
    if (!this.#scripts) this.#noteFallback('EVAL is not permitted');
  }

  /** For tests and the operator: how many keys a call takes at present. */
  get keysPerCall(): number {
    return this.#keysPerCall;
  }

  /** Reads the keys, in as many calls as the limits need. */
  async read(redis: Redis, keys: Buffer[], depth: Depth): Promise<Page> {
    const page: Page = { nowMs: 0, lines: Buffer.alloc(0), bigs: 0 };
    const lines: Buffer[] = [];
    const newline = Buffer.from('\n');
    for (let from = 0; from < keys.length;) {
      const some = keys.slice(from, from + this.#keysPerCall);
      const part = this.#scripts ? await this.#byScript(redis, some, depth) : await this.#plainly(redis, some, depth);
      if (!part) continue;
      if (from > 0) lines.push(newline);
      lines.push(part.lines);
      page.nowMs ||= part.nowMs;
      page.bigs += part.bigs;
      from += part.count;
    }
    page.lines = lines.length === 1 && lines[0] ? lines[0] : Buffer.concat(lines);
    return page;
  }

  async #plainly(redis: Redis, keys: Buffer[], depth: Depth) {
    const { nowMs, lines, bigs } = await digestPlainly(redis, keys, depth, {
      bigBytes: BIG_BYTES,
      abilities: this.abilities,
    });
    return { nowMs, lines: Buffer.from(lines.join('\n'), 'latin1'), bigs, count: keys.length };
  }

  async #byScript(redis: Redis, keys: Buffer[], depth: Depth) {
    const { pexpiretime, fieldExpiry, memoryUsage } = this.abilities;
    const flags = [pexpiretime, fieldExpiry, memoryUsage].map((flag) => (flag ? '1' : '0'));
    const options = [depth, BIG_BYTES, BUDGET_BYTES, ...flags];
    const args = this.#clusterNode ? [0, ...options, ...keys] : [keys.length, ...keys, ...options];
    const started = performance.now();
    const reply = await this.#evaluate(redis, args);
    if (!reply) return undefined;
    const [now, lines, count, bigs, micros] = reply;
    this.#adapt(micros || (performance.now() - started - this.#roundTripMs) * 1000);
    return { nowMs: Number(now), lines, bigs, count };
  }

  /** EVALSHA, and EVAL where the server has not seen the script yet (SCRIPT LOAD may be refused by an ACL). */
  async #evaluate(redis: Redis, args: (string | number | Buffer)[]) {
    const name = this.abilities.eval ?? 'EVAL';
    const script = this.#clusterNode ? CLUSTER_SCRIPT : SCRIPT;
    const call = (command: string, which: string) =>
      ask<[Buffer, Buffer, number, number, number]>(redis, command, which, ...args);
    try {
      return await call(name.replace('EVAL', 'EVALSHA'), script.sha).catch((error: Error) => {
        if (/^NOSCRIPT|NOPERM.*evalsha/i.test(error.message)) return call(name, script.text);
        throw error;
      });
    } catch (error) {
      // Refused for good (a command in the script is not permitted, or a proxy knows no scripts): plain commands tell more.
      // A server that is loading, busy or cut off from its master is not that: its error ends the compare, to be retried.
      const text = error instanceof Error && error.name === 'ReplyError' ? error.message : '';
      if (text === '' || /^-?(LOADING|BUSY|MASTERDOWN|NOAUTH|CLUSTERDOWN)/.test(text)) throw error;
      this.#scripts = false;
      this.#noteFallback(text.split('\n')[0]?.slice(0, 160) ?? '');
      return undefined;
    }
  }

  #noteFallback(why: string): void {
    this.#note(`${this.side}: compared by plain commands, which is slower and moves the values: ${why}`);
  }

  #adapt(micros: number): void {
    if (micros <= LONGEST_CALL_US) {
      this.#slowCalls = 0;
      if (micros < LONGEST_CALL_US / 2) this.#keysPerCall = Math.min(MOST_KEYS, Math.ceil(this.#keysPerCall * 1.25));
      return;
    }
    // One slow call may be the machine's; two in a row are the keys.
    if (++this.#slowCalls >= 2 || micros > LONGEST_CALL_US * 4) {
      this.#keysPerCall = Math.max(FEWEST_KEYS, Math.floor(this.#keysPerCall / 2));
      this.#slowCalls = 0;
    }
  }
}
