/** Restores and deletes small keys by a script on the target. */
import type { Redis } from 'ioredis';
import { PageScript, SCRIPT_BYTES, SCRIPT_KEYS, SCRIPT_KEY_BYTES } from './page-script.ts';
import type { Dumped } from './read-keys.ts';
import type { Server } from './server.ts';

/**
 * ARGV: whether what is there stays, whether expiries are Unix times, then expiry and DUMP of each key; an empty DUMP = it is to
 * be deleted. Returns a letter for each key: r = restored, k = kept, d = deleted, n = there was nothing to delete, e = an error.
 * Nothing in it can fail but what pcall catches: a script that ends in its middle would have written keys without saying which.
 */
const SCRIPT = new PageScript(
  `
local keep, absolute = ARGV[1] == '1', ARGV[2] == '1'
local out = {}
local function restore(k, at, dump)
  if absolute and at ~= '0' then
    if keep then return redis.pcall('RESTORE', k, at, dump, 'ABSTTL') end
    return redis.pcall('RESTORE', k, at, dump, 'REPLACE', 'ABSTTL')
  end
  if keep then return redis.pcall('RESTORE', k, at, dump) end
  return redis.pcall('RESTORE', k, at, dump, 'REPLACE')
end
for i = 1, #KEYS do
  local at, dump = ARGV[1 + 2 * i], ARGV[2 + 2 * i]
  local reply = dump == '' and redis.pcall('UNLINK', KEYS[i]) or restore(KEYS[i], at, dump)
  if type(reply) == 'number' then
    out[i] = reply > 0 and 'd' or 'n'
  elseif reply.err then
    out[i] = keep and string.sub(reply.err, 1, 7) == 'BUSYKEY' and 'k' or 'e'
  else
    out[i] = 'r'
  end
end
return table.concat(out)
`,
  true,
);

export interface ScriptWritten {
  restored: Dumped[];
  deleted: number;
  kept: number;
  /** Too large for a script, or refused: commands of their own say why. */
  left: Dumped[];
}

/**
 * @param expiryOf what RESTORE is given: Unix ms or ms from now (`absolute`), 0 = never
 * @throws what the connection throws
 */
export async function writeByScript(
  server: Server,
  redis: Redis,
  items: readonly Dumped[],
  how: { keep: boolean; absolute: boolean; expiryOf: (item: Dumped) => number },
): Promise<ScriptWritten> {
  const written: ScriptWritten = { restored: [], deleted: 0, kept: 0, left: [] };
  const small = (item: Dumped) => (item.dump?.length ?? 0) <= SCRIPT_KEY_BYTES;
  for (let from = 0; from < items.length;) {
    const page: Dumped[] = [];
    for (let bytes = 0; from < items.length && page.length < SCRIPT_KEYS && bytes < SCRIPT_BYTES; from++) {
      const item = items[from]!;
      if (small(item)) page.push(item);
      else written.left.push(item);
      bytes += small(item) ? (item.dump?.length ?? 0) : 0;
    }
    const letters = page.length > 0 && SCRIPT.fits(server) ? await lettersOf(server, redis, page, how) : undefined;
    for (const [i, item] of page.entries()) {
      const letter = letters?.[i];
      if (letter === 'r') written.restored.push(item);
      else if (letter === 'k') written.kept++;
      else if (letter === 'd') written.deleted++;
      else if (letter !== 'n') written.left.push(item);
    }
  }
  return written;
}

async function lettersOf(
  server: Server,
  redis: Redis,
  page: readonly Dumped[],
  { keep, absolute, expiryOf }: { keep: boolean; absolute: boolean; expiryOf: (item: Dumped) => number },
): Promise<string | undefined> {
  const args: (Buffer | string | number)[] = [keep ? 1 : 0, absolute ? 1 : 0];
  for (const item of page) args.push(expiryOf(item), item.dump ?? '');
  const reply = await SCRIPT.run<Buffer>(
    server,
    redis,
    page.map(({ key }) => key),
    args,
  );
  return reply?.toString();
}
