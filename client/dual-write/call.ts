/** A command as it will be sent: name in small letters, arguments flat, keys with their prefix. */
import { getKeyIndexes } from '@ioredis/commands';
import { Command } from 'ioredis';

export type Arg = string | Buffer;

export interface Call {
  name: string;
  args: Arg[];
  /** The keys it names, read or written; a superset is harmless. */
  keys: Arg[];
}

/**
 * As ioredis would send it: objects and maps of HSET and MSET spread, numbers as text, the prefix put before the keys.
 * @throws where the arguments can't be a command
 */
export function callOf(name: string, args: readonly unknown[], keyPrefix = ''): Call {
  const command = new Command(name.toLowerCase(), args as never[], keyPrefix === '' ? {} : { keyPrefix });
  const flat = command.args as Arg[];
  return { name: command.name, args: flat, keys: keysOf(command.name, flat) };
}

export const call = (name: string, ...args: Arg[]): Call => ({ name, args, keys: keysOf(name, args) });

/** To be given to a client: it must be made anew for every sending. */
export const toCommand = ({ name, args }: Call, replyEncoding: 'utf8' | null): Command =>
  new Command(name, [...args] as never[], { replyEncoding });

function keysOf(name: string, args: readonly Arg[]): Arg[] {
  // The table of ioredis counts the patterns of BY and GET as keys.
  if (name === 'sort') {
    const store = optionIndex(args, 'STORE', 1);
    return [args[0], store < 0 ? undefined : args[store + 1]].filter((key) => key !== undefined);
  }
  try {
    return getKeyIndexes(name, [...args]).flatMap((index) => args[index] ?? []);
  } catch {
    return [];
  }
}

/** Where an option stands, from an index on; -1. Values that look like the option must not stand before it. */
export function optionIndex(args: readonly Arg[], option: string, from: number): number {
  return args.findIndex((arg, index) => index >= from && upper(arg) === option);
}

export const upper = (arg: Arg | undefined): string => (arg === undefined ? '' : arg.toString().toUpperCase());

/** A name for maps, the same for text and bytes. */
export const keyId = (key: Arg): string => (typeof key === 'string' ? Buffer.from(key) : key).toString('latin1');
