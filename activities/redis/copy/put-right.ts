/**
 * Mode `keep`: a key that changed on the source while it was copied is put right on the target. Others write the source
 * first: so what is read there after WATCH is at least as new as what the target had then; and what they write on the target
 * after WATCH ends our transaction, and it is read again.
 */
import type { Redis } from 'ioredis';
import pLimit from 'p-limit';
import { dumpsOf, sameState } from './read-keys.ts';
import type { Server } from './server.ts';
import { TOO_NEW, refused, writeCommand } from './target.ts';

const ROUNDS = 5;

/** A transaction needs a connection of its own, one key at a time. */
interface Lane {
  redis: Promise<Redis>;
  alone: ReturnType<typeof pLimit>;
}

export class PutRight {
  readonly #lanes = new Map<Server, Map<number, Lane>>();

  /** @returns `unsettled`: at each reading others wrote it on the target, or it had changed on the source */
  key(source: Server, target: Server, db: number, key: Buffer): Promise<'corrected' | 'unsettled'> {
    const lane = this.#lane(target, db);
    return lane.alone(async () => {
      const from = await source.db(db);
      const to = await lane.redis;
      for (let round = 0; round < ROUNDS; round++) {
        await to.watch(key);
        const [now] = await dumpsOf(source, from, [key]);
        if (!now) throw new Error('copy: a key’s reading is missing');
        const [name, ...args] = writeCommand(target, now, false);
        const replies = await to.multi().callBuffer(name, args).exec();
        // Somebody wrote it there meanwhile, and has written the source before.
        if (replies === null) continue;
        const error = replies[0]?.[0];
        // An older target: what it got was rebuilt by commands of its type, in pages.
        if (error && TOO_NEW.test(error.message)) return 'unsettled';
        if (error) throw refused(target, key, error);
        const [after] = await dumpsOf(source, from, [key]);
        if (after && sameState(source, now, after)) return 'corrected';
      }
      return 'unsettled';
    });
  }

  close(): void {
    for (const lanes of this.#lanes.values()) {
      for (const { redis } of lanes.values()) redis.then((one) => one.disconnect()).catch(() => {});
    }
  }

  #lane(target: Server, db: number): Lane {
    const lanes = this.#lanes.get(target) ?? new Map<number, Lane>();
    this.#lanes.set(target, lanes);
    const known = lanes.get(db);
    if (known) return known;
    const redis = target.aside(db);
    // Whoever awaits it hears of it; nobody may have to.
    redis.catch(() => {});
    const lane = { redis, alone: pLimit(1) };
    lanes.set(db, lane);
    return lane;
  }
}
