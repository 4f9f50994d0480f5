/** Every command of ioredis as a method, as ioredis makes them: `get`, `getBuffer`, … each handing on its name and arguments. */
import { list } from '@ioredis/commands';

export type Encoding = 'utf8' | null;
export type Callback = (error: Error | null, result?: unknown) => void;

/**
 * Gives a class whose `run` takes any command the methods of all commands. Those it makes itself stay.
 * @throws Error where another method of the class would stand in for a command
 */
export function addCommands(
  prototype: object,
  own: readonly string[],
  run: (self: object, name: string, args: unknown[], encoding: Encoding) => unknown,
): void {
  const define = (method: string, encoding: Encoding, fixed?: string): void => {
    if (own.includes(method)) return;
    if (method in prototype) throw new Error(`the method ${method} has the name of a command`);
    Object.defineProperty(prototype, method, {
      configurable: true,
      writable: true,
      value(this: object, ...args: unknown[]): unknown {
        // call('SET', 'k', 'v') and call('SET', ['k', 'v'])
        const name = fixed ?? String(args.shift());
        return run(this, name, args, encoding);
      },
    });
  };
  for (const name of list) {
    define(name, 'utf8', name);
    define(`${name}Buffer`, null, name);
  }
  define('call', 'utf8');
  define('callBuffer', null);
}

/** Takes the callback off the end, where there is one. */
export function takeCallback(args: unknown[]): Callback | undefined {
  return typeof args.at(-1) === 'function' ? (args.pop() as Callback) : undefined;
}

/** The promise, and the callback told of it as Node does. */
export function tell<T>(promise: Promise<T>, callback: Callback | undefined): Promise<T> {
  if (callback !== undefined) {
    promise.then(
      (result) => process.nextTick(callback, null, result),
      (error: unknown) => process.nextTick(callback, error),
    );
  }
  return promise;
}
