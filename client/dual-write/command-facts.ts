/** Which commands are reads, which are writes, and which can't be had through two servers. */
import { exists, hasFlag } from '@ioredis/commands';
import { optionIndex, upper } from './call.ts';
import type { Call } from './call.ts';
import { notSupported } from './errors.ts';

export type Treatment =
  /** To the side that is read. */
  | 'read'
  /** To the authority, then the other. */
  | 'write'
  /** To the authority alone, as a write in the phases, but with nothing to record: PUBLISH. */
  | 'authority'
  /** To both sides, with no key: SCRIPT LOAD. */
  | 'everywhere'
  | 'select'
  | 'watch'
  | 'unwatch';

const BLOCKING =
  'it would still be waiting when the phase changes, and take its element under another phase. Use the form that does not block';
const CONNECTION = 'it changes the state of a connection, and there are several behind this client';
const SUBSCRIBE = 'subscribe on a client of your own; PUBLISH goes to the authority';

const REFUSED: Readonly<Record<string, string>> = {
  ...all(['blpop', 'brpop', 'brpoplpush', 'blmove', 'blmovem', 'blmpop', 'bzpopmin', 'bzpopmax', 'bzmpop'], BLOCKING),
  ...all(
    ['subscribe', 'psubscribe', 'ssubscribe', 'unsubscribe', 'punsubscribe', 'sunsubscribe', 'monitor'],
    SUBSCRIBE,
  ),
  ...all(['auth', 'hello', 'reset', 'readonly', 'readwrite', 'asking', 'client'], CONNECTION),
  ...all(
    ['flushdb', 'flushall', 'swapdb'],
    'it touches keys that it does not name, so that the journal could not tell them. Delete by SCAN and UNLINK, or before the migration',
  ),
  ...all(
    ['move', 'migrate'],
    'it moves a key to where the other side does not follow. COPY or DUMP, RESTORE and DEL do',
  ),
  ...all(['exec', 'discard'], 'use the chained form: multi().….exec()'),
  function: 'libraries of functions are not carried over; load them on both servers by a client of their own',
  restore: 'its time counts from when it arrives, which is different on two servers. Pass an absolute one with ABSTTL',
};

/** Those without the flag `write` or `readonly` in the table. */
const SPECIAL: Readonly<Record<string, Treatment>> = {
  ...all(['eval', 'evalsha', 'fcall', 'xgroup'], 'write' as const),
  ...all(['publish', 'spublish'], 'authority' as const),
  ...all(
    ['ping', 'echo', 'time', 'info', 'command', 'lastsave', 'role', 'object', 'xinfo', 'slowlog', 'latency'],
    'read' as const,
  ),
  ...all(['eval_ro', 'evalsha_ro', 'fcall_ro', 'memory', 'wait', 'pubsub'], 'read' as const),
  select: 'select',
  watch: 'watch',
  unwatch: 'unwatch',
};

/**
 * What is to be done with a command.
 * @throws DualWriteError where it can't be kept equal on both sides, or the library can't know its keys
 */
export function treatmentOf(call: Call): Treatment {
  const { name, args } = call;
  if (!exists(name)) throw notSupported(name, 'it is not known which keys it touches');
  const refused = REFUSED[name];
  if (refused !== undefined && !(name === 'restore' && restoreIsPlain(call))) throw notSupported(name, refused);
  if ((name === 'xread' || name === 'xreadgroup') && optionIndex(args, 'BLOCK', 0) >= 0)
    throw notSupported(`${name} BLOCK`, BLOCKING);
  if (name === 'copy' && optionIndex(args, 'DB', 2) >= 0) throw notSupported('copy DB', 'it writes another database');
  if (name === 'script') return script(call);
  if (name === 'config' && upper(args[0]) === 'GET') return 'read';
  const special = SPECIAL[name];
  if (special !== undefined) {
    if (special === 'write' && call.keys.length === 0) {
      throw notSupported(name, 'it names no keys. Declare every key that the script may touch');
    }
    return special;
  }
  if (isOnlyRead(call)) return 'read';
  if (!hasFlag(name, 'write') || hasFlag(name, 'admin'))
    throw notSupported(name, 'it is for operators; use a client of the server itself');
  if (call.keys.length === 0) throw notSupported(name, 'no key was found in its arguments');
  return 'write';
}

function isOnlyRead({ name, args, keys }: Call): boolean {
  if (hasFlag(name, 'readonly')) return true;
  if (name === 'sort') return keys.length < 2;
  return (name === 'georadius' || name === 'georadiusbymember') && keys.length < 2 && optionIndex(args, 'STORE', 4) < 0;
}

/** The time must be absolute: counted from two arrivals, it would be two different times. 0 is none. */
function restoreIsPlain({ args }: Call): boolean {
  return upper(args[1]) === '0' || optionIndex(args, 'ABSTTL', 3) >= 0;
}

function script({ name, args }: Call): Treatment {
  const sub = upper(args[0]);
  if (sub === 'LOAD' || sub === 'FLUSH') return 'everywhere';
  if (sub === 'EXISTS') return 'read';
  throw notSupported(`${name} ${sub}`, 'it is for operators; use a client of the server itself');
}

function all<T>(names: readonly string[], value: T): Record<string, T> {
  return Object.fromEntries(names.map((name) => [name, value]));
}
