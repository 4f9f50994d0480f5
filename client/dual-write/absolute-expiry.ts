/**
 * A relative time counts from when a server takes the command, and two servers take it at two times. So before anything is
 * sent, "in ten seconds" becomes "at this time of the authority's clock", for both.
 */
import { call, upper } from './call.ts';
import type { Arg, Call } from './call.ts';

/** `nowMs`: the authority's clock. A time that is no number is left alone: the server says what is wrong with it. */
export function absolute(original: Call, nowMs: number): Call {
  const { name, args } = original;
  const at = (value: Arg | undefined, unitMs: number): string | undefined => {
    const text = value?.toString() ?? '';
    const ms = /^-?\d{1,13}$/.test(text) ? Number(text) * unitMs : Number.NaN;
    return Number.isSafeInteger(ms) ? String(Math.max(1, nowMs + ms)) : undefined;
  };
  const replaced = (to: string, index: number, unitMs: number): Call => {
    const time = at(args[index], unitMs);
    return time === undefined ? original : call(to, ...args.with(index, time));
  };
  switch (name) {
    case 'expire':
      return replaced('pexpireat', 1, 1000);
    case 'pexpire':
      return replaced('pexpireat', 1, 1);
    case 'hexpire':
      return replaced('hpexpireat', 1, 1000);
    case 'hpexpire':
      return replaced('hpexpireat', 1, 1);
    case 'setex':
    case 'psetex': {
      const [key, time, value, ...more] = args;
      const when = positive(time) ? at(time, name === 'setex' ? 1000 : 1) : undefined;
      if (key === undefined || value === undefined || more.length > 0 || when === undefined) return original;
      return call('set', key, value, 'PXAT', when);
    }
    case 'set':
      return options(original, 2, at);
    case 'getex':
    case 'hsetex':
    case 'hgetex':
      return options(original, 1, at);
    default:
      return original;
  }
}

/** EX and PX become PXAT. Of HSETEX and HGETEX, what stands behind FIELDS are names and values. */
function options(
  original: Call,
  from: number,
  at: (value: Arg | undefined, unitMs: number) => string | undefined,
): Call {
  const args = [...original.args];
  for (let i = from; i < args.length - 1; i++) {
    const word = upper(args[i]);
    if (word === 'FIELDS') break;
    if (word !== 'EX' && word !== 'PX') continue;
    const when = positive(args[i + 1]) ? at(args[i + 1], word === 'EX' ? 1000 : 1) : undefined;
    if (when === undefined) return original;
    args.splice(i, 2, 'PXAT', when);
    return call(original.name, ...args);
  }
  return original;
}

/** Zero and less are an error of these commands; an absolute time would hide it. */
const positive = (value: Arg | undefined): boolean => /^\d{1,13}$/.test(value?.toString() ?? '') && Number(value) > 0;
