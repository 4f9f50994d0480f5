/** The end of a dual write, either way: what is left on the servers, by name, and what is removed. */
import { dualKeys } from '../../../spec/dual-write.ts';
import type { RedisDualWrite } from '../../../spec/kind-redis-dual-write.ts';
import { ask } from '../compare/replies.ts';
import type { Target } from '../copy/target.ts';
import { withControl } from './control.ts';
import { dualFailure } from './failure.ts';
import { removeJournal } from './journal.ts';
import { memoKey } from './memo.ts';
import { DualSession } from './session.ts';

export interface DualFinal {
  /** Keys by database, all nodes together. */
  sourceKeys: Record<string, number>;
  targetKeys: Record<string, number>;
  instances: number;
  leftovers: string[];
}

/** After phase target: removes the journals, and reads what there is. Runs as often as it likes. */
export async function finishDualWrite({ migration }: { migration: RedisDualWrite }): Promise<DualFinal> {
  return withControl(migration, async (key) => {
    const { phase, instances } = dualKeys(migration.id);
    const session = await opened(migration);
    try {
      for (const side of [session.authority, session.other]) await removeJournal(side, migration.id);
      await key.redis.del(memoKey(migration.id));
      return {
        sourceKeys: await keysOf(session.authority),
        targetKeys: await keysOf(session.other),
        instances: await key.redis.hlen(instances),
        leftovers: [
          `the source ${key.where} keeps its data as it was when the application let go of it`,
          `the keys ${phase} and ${instances} on the source ${key.where}: instances that start later follow phase target by them; send the application to the target alone before you end the source`,
        ],
      };
    } finally {
      session.close();
    }
  });
}

const OWNER = 'cutover:copy:owner';

/**
 * After an abort, in phase source: removes the journals, and, where the file says so and the target was empty before, all
 * that it has.
 * @returns what stays, by name
 */
export async function cleanUpDual({ migration }: { migration: RedisDualWrite }): Promise<{ leftovers: string[] }> {
  return withControl(migration, async (key) => {
    const { control } = await key.read();
    const { phase, instances } = dualKeys(migration.id);
    const target = `${migration.target.host}:${migration.target.port}`;
    // The step before this one was given up by the operator: the target may be in use.
    if (control.phase !== 'source')
      return { leftovers: [`the application is in phase ${control.phase}; nothing was removed`] };
    const session = await opened(migration);
    try {
      await removeJournal(session.authority, migration.id);
      await removeJournal(session.other, migration.id);
      const owner = Buffer.from(OWNER);
      const redis = await session.other.serverOf(owner).db(0);
      if ((await redis.get(owner)) === migration.id) await redis.del(owner);
      const leftovers =
        control.epoch === 0 ? [] : [`the keys ${phase} and ${instances} on the source ${key.where}, with phase source`];
      const wasEmpty = (await key.redis.get(memoKey(migration.id))) === 'empty';
      if (migration.abort.removePartialData && wasEmpty) {
        for (const server of session.other.servers) await ask(await server.db(0), 'FLUSHALL');
        await key.redis.del(memoKey(migration.id));
        return { leftovers };
      }
      const keys = Object.values(await keysOf(session.other)).reduce((sum, count) => sum + count, 0);
      if (keys === 0) return { leftovers };
      const why = migration.abort.removePartialData ? ', because it had keys before' : '';
      return { leftovers: [...leftovers, `${keys} keys on the target ${target} stay${why}`] };
    } finally {
      session.close();
    }
  });
}

async function opened(migration: RedisDualWrite): Promise<DualSession> {
  try {
    return await DualSession.open(migration, 'source');
  } catch (error) {
    throw dualFailure(error);
  }
}

async function keysOf(side: Target): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const server of side.servers) {
    for (const [db, keys] of await server.databases()) counts[`db${db}`] = (counts[`db${db}`] ?? 0) + keys;
  }
  return counts;
}
