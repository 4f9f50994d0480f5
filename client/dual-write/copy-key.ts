/** The state of a key, from the authority to the other side. */
import { call } from './call.ts';
import type { Arg } from './call.ts';
import { isReplyError } from './errors.ts';
import type { Link } from './link.ts';

export interface CopyBounds {
  db: number;
  /** What is left of the time of the whole copy, ms; asked before each sending. It throws where none is left. */
  leftMs(): number;
  /** MEMORY USAGE above this is left to the repair. */
  maxBytes: number;
}

/** repair: too large, or of a version that the other side can't restore: the journal has it, the repair knows how. */
export type Copied = 'copied' | 'repair';

/** Can run twice. `onRead` is called when the reading is sent: writes sent before it are in it. @throws of either side */
export async function copyKey(from: Link, to: Link, key: Arg, bounds: CopyBounds, onRead: () => void): Promise<Copied> {
  const { db, maxBytes } = bounds;
  // Not permitted, or not known: then it is not large.
  const size = await from
    .send(call('memory', 'USAGE', key), 'utf8', db, bounds.leftMs())
    .answer.catch((error: unknown) => {
      if (isReplyError(error)) return 0;
      throw error;
    });
  if (Number(size) > maxBytes) return 'repair'; // text with stringNumbers; null where there is no such key
  onRead();
  const now = from.nowMs();
  const [dump, expiry] = await stateOf(from, key, db, bounds.leftMs());
  const at = from.exactExpiry || expiry < 0 ? expiry : now + expiry;
  if (dump === null || expiry === -2) {
    await to.send(call('del', key), 'utf8', db, bounds.leftMs()).answer;
    return 'copied';
  }
  const restore = call('restore', key, String(Math.max(0, at)), dump, 'REPLACE', 'ABSTTL');
  return to.send(restore, 'utf8', db, bounds.leftMs()).answer.then(
    () => 'copied',
    (error: unknown) => {
      if (isReplyError(error) && error.message.includes('payload version')) return 'repair';
      throw error;
    },
  );
}

/** Both at one moment: a key that expired in between would be restored without its expiry. */
async function stateOf(from: Link, key: Arg, db: number, timeoutMs: number): Promise<[Buffer | null, number]> {
  const expiry = call(from.exactExpiry ? 'pexpiretime' : 'pttl', key);
  const results = (await from.transaction([call('dump', key), { ...expiry, encoding: 'utf8' }], db, timeoutMs)
    .answer) as [Error | null, unknown][];
  const failed = results.find(([error]) => error !== null);
  if (failed !== undefined) throw failed[0];
  return [results[0]?.[1] as Buffer | null, Number(results[1]?.[1])];
}
