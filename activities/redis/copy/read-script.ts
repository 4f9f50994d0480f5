/** Reads sizes, and small keys whole, by a script on the source. */
import type { Redis } from 'ioredis';
import { printable } from '../compare/key-names.ts';
import { PageScript, SCRIPT_BYTES, SCRIPT_KEYS, SCRIPT_KEY_BYTES } from './page-script.ts';
import { UNASKED, dumpsOf } from './read-keys.ts';
import type { Dumped, Sized } from './read-keys.ts';
import type { Server } from './server.ts';

/**
 * ARGV: largest key that is dumped, bytes after which it ends by itself, whether types are wanted, has PEXPIRETIME.
 * Returns the server's clock in ms, then for each key that it came to: its bytes (-1 = no such key), its DUMP (nil where it is too
 * large), PEXPIRETIME or PTTL, its type where wanted.
 */
const SCRIPT = new PageScript(
  `
local call = redis.call
local largest, budget = tonumber(ARGV[1]), tonumber(ARGV[2])
local types, expiry = ARGV[3] == '1', ARGV[4] == '1' and 'PEXPIRETIME' or 'PTTL'
local time = call('TIME')
local out, n, used = { string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000)) }, 1, 0
for i = 1, #KEYS do
  local k = KEYS[i]
  local bytes, dump, at = call('MEMORY', 'USAGE', k), false, -2
  if bytes and bytes <= largest then
    dump, at = call('DUMP', k), call(expiry, k)
    used = used + bytes
  end
  out[n + 1] = bytes or -1
  out[n + 2] = dump
  out[n + 3] = at
  n = n + 3
  if types then
    n = n + 1
    out[n] = call('TYPE', k).ok
  end
  if used > budget then break end
end
return out
`,
  false,
);

/** A key's size, and the key itself where it is small. */
export interface Reading extends Sized {
  dumped?: Dumped;
}

/**
 * The first of the keys: as many as one call may read.
 * @param largest bytes; larger keys come without themselves
 * @returns undefined where the server lets us run no script
 */
export async function readByScript(
  server: Server,
  redis: Redis,
  keys: readonly Buffer[],
  wanted: { types: boolean; largest: number },
): Promise<Reading[] | undefined> {
  const { memoryUsage, dump, pexpiretime } = server.abilities;
  if (!memoryUsage || !dump || !SCRIPT.fits(server)) return undefined;
  const some = keys.slice(0, SCRIPT_KEYS);
  const largest = Math.min(wanted.largest, SCRIPT_KEY_BYTES);
  const flags = [wanted.types, pexpiretime].map((flag) => (flag ? 1 : 0));
  const reply = await SCRIPT.run<(Buffer | number | null)[]>(server, redis, some, [largest, SCRIPT_BYTES, ...flags]);
  if (!reply) return undefined;
  const each = wanted.types ? 4 : 3;
  const nowMs = pexpiretime ? 0 : Number(reply[0]);
  return some.slice(0, (reply.length - 1) / each).map((key, i): Reading => {
    const from = 1 + i * each;
    const [bytes, dumpOfKey, ttl] = [Number(reply[from]), reply[from + 1], Number(reply[from + 2])];
    if (bytes < 0) return { key, type: 'none', bytes: 0, dumped: { key, dump: null, expireAt: 0 } };
    const type = wanted.types ? String(reply[from + 3]) : UNASKED;
    if (!Buffer.isBuffer(dumpOfKey)) return { key, type, bytes };
    // -2: it expired after DUMP (a script's clock may go on). Restored without an expiry it would live for ever.
    if (ttl === -2) return { key, type, bytes, dumped: { key, dump: null, expireAt: 0 } };
    return { key, type, bytes, dumped: { key, dump: dumpOfKey, expireAt: ttl === -1 ? 0 : nowMs + ttl } };
  });
}

/** The keys of these readings whole and in their order; what did not come with its reading is read now. */
export async function wholeOf(server: Server, redis: Redis, readings: readonly Reading[]): Promise<Dumped[]> {
  const missing = readings.filter(({ dumped }) => !dumped).map(({ key }) => key);
  const later = missing.length > 0 ? await dumpsOf(server, redis, missing) : [];
  let next = 0;
  return readings.map(({ key, dumped }) => dumped ?? later[next++] ?? missed(key));
}

function missed(key: Buffer): never {
  throw new Error(`copy: the reading of key ${printable(key)} is missing`);
}

/** Keys as they are now, in their order. */
export async function readAgain(server: Server, redis: Redis, keys: readonly Buffer[]): Promise<Dumped[]> {
  const found: Dumped[] = [];
  while (found.length < keys.length) {
    const rest = keys.slice(found.length);
    const readings = await readByScript(server, redis, rest, { types: false, largest: SCRIPT_KEY_BYTES });
    found.push(...(readings ? await wholeOf(server, redis, readings) : await dumpsOf(server, redis, rest)));
  }
  return found;
}
