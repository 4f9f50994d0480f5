/** The keys that were touched last: they are compared once more behind the fence. */
import type { Server } from './server.ts';
import { touchedId } from './touched.ts';

const MOST = 10_000;
const FOR_MS = 10_000;

interface Recent {
  server: Server;
  db: number;
  key: Buffer;
  at: number;
}

export interface KeyGroup {
  server: Server;
  db: number;
  keys: Buffer[];
}

export class RecentKeys {
  #keys = new Map<string, Recent>();

  add(server: Server, db: number, key: Buffer): void {
    const id = touchedId(server, db, key);
    this.#keys.delete(id);
    this.#keys.set(id, { server, db, key, at: performance.now() });
    if (this.#keys.size <= MOST) return;
    const oldest = this.#keys.keys().next();
    if (!oldest.done) this.#keys.delete(oldest.value);
  }

  /** By server and database, those of the last ten seconds. */
  groups(): KeyGroup[] {
    const since = performance.now() - FOR_MS;
    return grouped([...this.#keys.values()].filter(({ at }) => at >= since));
  }
}

function grouped(found: Iterable<{ server: Server; db: number; key: Buffer }>): KeyGroup[] {
  const groups = new Map<string, KeyGroup>();
  for (const { server, db, key } of found) {
    const id = `${server.id} ${db}`;
    const group = groups.get(id) ?? { server, db, keys: [] };
    group.keys.push(key);
    groups.set(id, group);
  }
  return [...groups.values()];
}

/**
 * Streams: XREADGROUP, XACK and XCLAIM change their groups and send no event, so that those that moved are copied again
 * from time to time, and every one once more behind the fence.
 */
export class Streams {
  #known = new Map<string, { server: Server; db: number; key: Buffer }>();
  #more = false;
  readonly #most: number;

  constructor(most: number) {
    this.#most = most;
  }

  add(server: Server, db: number, key: Buffer): void {
    const id = touchedId(server, db, key);
    if (this.#known.has(id)) return;
    if (this.#known.size < this.#most) this.#known.set(id, { server, db, key });
    else this.#more = true;
  }

  /** False where there are more than can be remembered: then they are found by SCAN. */
  get complete(): boolean {
    return !this.#more;
  }

  /** Those that are remembered, by server and database. */
  groups(): KeyGroup[] {
    return grouped(this.#known.values());
  }
}
