/**
 * What the second side is told, once the authority has answered. Not always the same command: one that draws lots, makes an
 * id, or asked for a condition, is told as what came of it.
 */
import { call, optionIndex, upper } from './call.ts';
import type { Arg, Call } from './call.ts';

/** Commands in order (none: there is nothing to do), or the state of the keys is copied. */
export type Effect = readonly Call[] | 'copy';

/** Equal states and equal arguments give equal states. */
const SAME: ReadonlySet<string> = new Set(
  (
    'append bitfield bitop decr decrby del expireat geoadd getdel getex getset hdel hexpireat hgetdel hincrby hmset hpersist ' +
    'hpexpireat hset incr incrby linsert lmove lmpop lpop lpush lpushx lrem lset ltrim mset persist pexpireat pfadd pfmerge ' +
    'rename restore rpop rpoplpush rpush rpushx sadd sdiffstore setbit setrange sinterstore smove srem sunionstore unlink xack ' +
    'xdel zadd zdiffstore zinterstore zmpop zpopmax zpopmin zrangestore zrem zremrangebylex zremrangebyrank zremrangebyscore ' +
    'zunionstore'
  ).split(' '),
);

/** Done as the left says it, if the answer was 1: told without the condition. */
const WITHOUT_CONDITION: Readonly<Record<string, string>> = {
  setnx: 'set',
  msetnx: 'mset',
  hsetnx: 'hset',
  renamenx: 'rename',
};

/** What the authority answered decides; texts of the answer as bytes where they go on (SPOP). */
export function effectOf(sent: Call, reply: unknown): Effect {
  const { name, args } = sent;
  const [key] = args;
  if (key === undefined) return 'copy';
  const plain = WITHOUT_CONDITION[name];
  if (plain !== undefined) return isOne(reply) ? [call(plain, ...args)] : [];
  switch (name) {
    case 'set':
      return setEffect(sent, reply);
    case 'copy':
      return isOne(reply) ? [call('copy', ...args.slice(0, 2), 'REPLACE')] : [];
    case 'spop': {
      const gone = (Array.isArray(reply) ? reply : [reply]) as (Arg | null)[];
      const members = gone.filter((member) => member !== null);
      return members.length === 0 ? [] : [call('srem', key, ...members)];
    }
    case 'incrbyfloat':
      return isText(reply) ? [call('set', key, reply, 'KEEPTTL')] : 'copy';
    case 'hincrbyfloat':
      // HSET would take the field's own expiry away where it has one; only newer servers know such.
      return 'copy';
    case 'xadd':
      return xaddEffect(args, reply);
    case 'getex':
    case 'hgetex':
    case 'hsetex':
      // A relative time that could not be made absolute.
      return hasRelativeTime(args) ? 'copy' : [sent];
    default:
      return SAME.has(name) ? [sent] : 'copy';
  }
}

function setEffect(sent: Call, reply: unknown): Effect {
  const [key, value, ...options] = sent.args;
  if (key === undefined || value === undefined) return 'copy';
  const words = options.map((option) => upper(option));
  if (words.some((word) => word.startsWith('IF')) || hasRelativeTime(options)) return 'copy';
  const get = words.includes('GET');
  if (words.includes('NX') && (get ? reply !== null : reply === null)) return [];
  if (words.includes('XX') && reply === null) return [];
  const kept = options.filter((_, index) => !['NX', 'XX', 'GET'].includes(words[index] ?? ''));
  return [call('set', key, value, ...kept)];
}

/** The id that came back stands in for `*`. With `~` servers trim where their nodes end: the repair evens that out. */
function xaddEffect(args: readonly Arg[], reply: unknown): Effect {
  if (reply === null) return [];
  if (!isText(reply)) return 'copy';
  let i = 1;
  for (;;) {
    const word = upper(args[i]);
    if (word === 'NOMKSTREAM') i += 1;
    else if (word === 'LIMIT') i += 2;
    else if (word === 'MAXLEN' || word === 'MINID') i += ['=', '~'].includes(upper(args[i + 1])) ? 3 : 2;
    else break;
  }
  // An option of a newer server: an id is digits, `-` and `*`.
  if (!/^(\d+(-(\d+|\*))?|\*)$/.test(args[i]?.toString() ?? '')) return 'copy';
  return [call('xadd', ...args.with(i, reply))];
}

/** Not `=== 1`: with the application's `stringNumbers` it is text. */
const isOne = (reply: unknown): boolean => Number(reply) === 1;
const isText = (value: unknown): value is Arg => typeof value === 'string' || Buffer.isBuffer(value);
const hasRelativeTime = (args: readonly Arg[]): boolean =>
  optionIndex(args, 'EX', 0) >= 0 || optionIndex(args, 'PX', 0) >= 0;

/** May have had an effect although the server answered with an error. */
export const mayFailHalfway = (name: string): boolean => ['eval', 'evalsha', 'fcall', 'multi'].includes(name);
