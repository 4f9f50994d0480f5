/** The drain: waits until the target has everything that was acknowledged before the fence. */
import type { Redis } from 'ioredis';
import { ErrorType } from '../../spec/errors.ts';
import { permanent } from '../errors.ts';
import type { RaisedFence } from './fence.ts';
import { readSource, readTarget } from './replication.ts';

const POLL_MS = 1;

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/**
 * Polls both sides until the target's offset has passed the fence's, with the link up and one replication id throughout.
 * The offset itself never stands still (a PING adds 14 bytes, facts/redis-aws 4.2 f), so equality at one moment is not
 * asked for; having passed the fence's offset is what proves that no acknowledged write is missing.
 * @throws cutover.Deadline with both offsets, also where a server hangs: its answer is not waited for beyond the budget;
 *   cutover.Replication where the source's history changed under the fence
 */
export async function drain(
  source: Redis,
  target: Redis,
  fence: RaisedFence,
  budgetMs: number,
): Promise<{ ms: number }> {
  const started = performance.now();
  let timer: NodeJS.Timeout | undefined;
  const over = new Promise<undefined>((resolve) => (timer = setTimeout(() => resolve(undefined), budgetMs)));
  let last = 'no answer from source or target';
  try {
    for (;;) {
      const reading = Promise.all([readSource(source), readTarget(target)]);
      reading.catch(() => {}); // Nobody waits for it once the budget is over.
      const read = await Promise.race([reading, over]);
      if (!read) {
        throw permanent(ErrorType.deadline, `not drained within ${budgetMs} ms: ${last}`, {
          remedy: 'wait until the lag is smaller, or raise cutover.budgets.drain',
        });
      }
      const [s, t] = read;
      if (s.replid !== fence.replid || s.role !== 'master') {
        throw permanent(
          ErrorType.replication,
          `the source's history changed under the fence (role ${s.role}, a new replication id): was it restarted or failed over?`,
        );
      }
      if (t.role === 'slave' && t.linkUp && t.replid === fence.replid && t.offset >= fence.offset) {
        return { ms: performance.now() - started };
      }
      last = `the target is at offset ${t.offset}, the fence at ${fence.offset}, link ${t.linkUp ? 'up' : 'down'}`;
      await pause(POLL_MS);
    }
  } finally {
    clearTimeout(timer);
  }
}
