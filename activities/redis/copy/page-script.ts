/**
 * Pages of keys by script: one command for 250 keys. As commands of their own, each key costs a client in Node some 60 µs and
 * the servers 10; nearly all of it is the client's handling of single commands.
 */
import type { Redis } from 'ioredis';
import { ask } from '../compare/replies.ts';
import { ownScript, type OwnScript } from '../own-scripts.ts';
import type { Server } from './server.ts';

/** A script blocks its server: these two keep it to some 3 ms. */
export const SCRIPT_KEYS = 250;
export const SCRIPT_BYTES = 262_144;
/** Larger keys are no business of a script. */
export const SCRIPT_KEY_BYTES = 65_536;

export class PageScript {
  readonly #script: OwnScript;
  readonly #writes: boolean;
  /** Servers that refused it: they are not asked again. */
  readonly #refused = new WeakSet<Server>();

  constructor(text: string, writes: boolean) {
    this.#script = ownScript(text);
    this.#writes = writes;
  }

  /** Not in a cluster: a script may only be given keys of one slot. */
  fits = (server: Server): boolean => server.abilities.eval !== undefined && !this.#refused.has(server);

  /**
   * @returns undefined where the server refuses it, for whatever reason: the plain commands do the same, and tell more
   * @throws what the connection throws
   */
  async run<T>(
    server: Server,
    redis: Redis,
    keys: readonly Buffer[],
    args: readonly (Buffer | string | number)[],
  ): Promise<T | undefined> {
    const name = this.#writes ? 'EVAL' : (server.abilities.eval ?? 'EVAL');
    const call = (command: string, script: string) => ask<T>(redis, command, script, keys.length, ...keys, ...args);
    try {
      return await call(name.replace('EVAL', 'EVALSHA'), this.#script.sha).catch((error: Error) => {
        if (/^NOSCRIPT|NOPERM.*evalsha/i.test(error.message)) return call(name, this.#script.text);
        throw error;
      });
    } catch (error) {
      if (!(error instanceof Error) || error.name !== 'ReplyError') throw error;
      this.#refused.add(server);
      return undefined;
    }
  }
}
