/** Which of some keys differ between the authority and the other server: type, expiry and value, the large ones as well. */
import { compareDeep } from '../compare/deep.ts';
import { compareKeys, differing } from '../copy/reconcile.ts';
import type { Server } from '../copy/server.ts';
import type { DualSession } from './session.ts';

const REREAD_DELAY_MS = 200;
const REREADS = 3;

/** Of keys as they are now. A key that is written meanwhile may count as differing. */
export async function differencesOf(session: DualSession, db: number, keys: readonly Buffer[]): Promise<Buffer[]> {
  const found: Buffer[] = [];
  for (const [server, group] of session.authority.group(keys, (key) => key)) {
    found.push(...(await ofServer(session, server, db, group)));
  }
  return found;
}

async function ofServer(session: DualSession, server: Server, db: number, keys: Buffer[]): Promise<Buffer[]> {
  const { other } = session;
  // The cheap look first. It also finds what is equal and only laid out differently, and what is too large to digest.
  const doubtful = await differing(other, server, db, keys, 'quick', true);
  const { differ, large } = await compareKeys(other, server, db, doubtful, 'full');
  for (const key of large) if (await isLargeAndDiffers(session, server, db, key)) differ.push(key);
  return differ;
}

/** Page by page. What could not be compared counts as differing: it must not count as equal. */
async function isLargeAndDiffers(session: DualSession, server: Server, db: number, key: Buffer): Promise<boolean> {
  const there = session.other.serverOf(key);
  const side = async (one: Server) => ({ redis: await one.db(db), abilities: one.abilities });
  const verdict = await compareDeep(
    {
      source: await side(server),
      target: await side(there),
      patience: {
        caughtUp: async () => false,
        wait: session.wait,
        rereadDelayMs: REREAD_DELAY_MS,
        rereadTimes: REREADS,
        onReread: () => {},
      },
    },
    key,
    (type) => session.notes.add(`type ${type}: large values were compared by DUMP alone`),
  );
  return verdict.outcome !== 'same';
}
