/** The chained form, `pipeline()…exec()` and `multi()…exec()`. Nothing is sent before exec. */
import { addCommands, takeCallback, tell } from './surface.ts';
import type { Callback, Encoding } from './surface.ts';

export interface Item {
  name: string;
  args: unknown[];
  encoding: Encoding;
  callback: Callback | undefined;
}
export type BatchResults = [Error | null, unknown][] | null;

export class Batch {
  private readonly items: Item[] = [];
  private readonly scripts: ReadonlyMap<string, ScriptDefinition>;
  private readonly send: (items: readonly Item[]) => Promise<BatchResults>;
  private sent: Promise<BatchResults> | undefined;

  constructor(
    send: (items: readonly Item[]) => Promise<BatchResults>,
    scripts: ReadonlyMap<string, ScriptDefinition>,
    commands: readonly (readonly unknown[])[] = [],
  ) {
    this.send = send;
    this.scripts = scripts;
    for (const name of scripts.keys()) {
      const own = this as unknown as Record<string, unknown>;
      own[name] = (...args: unknown[]) => this.add(name, args, 'utf8');
      own[`${name}Buffer`] = (...args: unknown[]) => this.add(name, args, null);
    }
    for (const [name, ...args] of commands) this.add(String(name), args, 'utf8');
  }

  get length(): number {
    return this.items.length;
  }

  /** Any command, also one of defineCommand. */
  add(name: string, given: unknown[], encoding: Encoding): this {
    if (this.sent !== undefined) throw new Error('dual write: this batch was sent already; make another');
    const args = [...given];
    const callback = takeCallback(args);
    const script = this.scripts.get(name);
    if (script === undefined) this.items.push({ name, args, encoding, callback });
    // The text, not its hash: in a transaction there is no second try where the server does not know the hash.
    else this.items.push({ ...scriptCall(script, args, 'text'), encoding, callback });
    return this;
  }

  /** Results as of ioredis: [error, value] of each; null where a watched key had changed. Sent once. */
  exec(callback?: Callback): Promise<BatchResults> {
    this.sent ??= this.send(this.items).then((results) => {
      results?.forEach(([error, value], index) => this.items[index]?.callback?.(error, value));
      return results;
    });
    return tell(this.sent, callback);
  }
}

addCommands(Batch.prototype, ['exec'], (self, name, args, encoding) => (self as Batch).add(name, args, encoding));

export interface ScriptDefinition {
  lua: string;
  sha: string;
  numberOfKeys?: number | undefined;
  readOnly: boolean;
}

/** EVAL or EVALSHA of a script of defineCommand; without numberOfKeys the first argument is the number of keys. */
export function scriptCall(
  script: ScriptDefinition,
  args: readonly unknown[],
  by: 'text' | 'sha',
): { name: string; args: unknown[] } {
  const count = script.numberOfKeys === undefined ? [] : [script.numberOfKeys];
  const name = by === 'text' ? 'eval' : 'evalsha';
  return {
    name: script.readOnly ? `${name}_ro` : name,
    args: [by === 'text' ? script.lua : script.sha, ...count, ...args.flat()],
  };
}
