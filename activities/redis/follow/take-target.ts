/**
 * Who may write to the target of `engine: scan`: the follower that holds the claim, and after it nobody of ours. A follower
 * that was given up (a worker cut off from Temporal, a process that was suspended) may still have connections to the
 * target; they are ended, and its claim is no longer in force, before an application is sent there.
 */
import type { Redis } from 'ioredis';
import { ErrorType } from '../../../spec/errors.ts';
import type { RedisOnlineScan } from '../../../spec/kind-redis-online.ts';
import { permanent, transient } from '../../errors.ts';
import { connectionsOf, copyFailure } from '../copy/copy-activity.ts';
import { OWNER, refuseTaken } from '../copy/obstacles.ts';
import { openSide } from '../copy/open-side.ts';
import { hasKey } from '../copy/slots.ts';
import { Stop } from '../copy/stop.ts';
import { Target } from '../copy/target.ts';
import { keysByDatabase } from '../preflight/probe.ts';
import { nameOf, withPrimaries, type PrimaryNode } from '../primaries.ts';
import { parseInfo } from '../replication.ts';
import { sourceFenceHolds, type RaisedSourceFence } from '../source-fence.ts';
import { fencerName } from '../role.ts';
import { CLOSED, copierNames, Desk, DESK_KEYS, isOwn } from './desk.ts';

const PATIENCE_MS = 5_000;
const LOOK_AGAIN_MS = 50;

/**
 * @returns `mayHoldKeys`: there may be keys that the source lacks, which the follower has to look for
 * @throws cutover.NotOurs, cutover.Invalid where the target is not empty and has to be, or others write to it
 */
export async function takeCopyTarget(input: {
  migration: RedisOnlineScan;
  claim: string;
  /** It was taken before by this migration, and may hold what was copied. */
  again: boolean;
}): Promise<{ note: string; mayHoldKeys: boolean }> {
  const { id, target } = input.migration;
  const desk = await Desk.open(target, id, 'ask');
  try {
    const owner = await desk.owner();
    const mayHoldKeys = input.again || isOwn(owner, id) || input.migration.allowNonEmptyTarget;
    await refuseTarget(input.migration, mayHoldKeys);
    if (!(await desk.claim(id, input.claim))) {
      throw permanent(ErrorType.notOurs, `the target is being filled by another copy: ${(await desk.owner()) ?? ''}`, {
        remedy: 'end that migration; if it is gone for good: redis-cli DEL cutover:copy:owner on the target',
      });
    }
    // From here on nobody else's claim is in force; what an earlier follower still had on its way is over.
    await endCopiers(input.migration);
    return { note: 'the target is taken for this copy', mayHoldKeys };
  } catch (error) {
    throw copyFailure(error);
  } finally {
    desk.close();
  }
}

async function refuseTarget(migration: RedisOnlineScan, mayHoldKeys: boolean): Promise<void> {
  const stop = new Stop();
  try {
    // Under another name than the copy's, whose connections whoever opens it ends.
    const { target: ends } = connectionsOf({ ...migration, migrationId: migration.id }, 'repair');
    const { servers, topology } = await openSide({
      side: 'target',
      ends,
      fail: stop.now,
      note: () => {},
      signal: stop.signal,
    });
    await refuseTaken(new Target(servers, topology.cluster), mayHoldKeys, () => {});
  } finally {
    stop.now(new Error('looked at'));
  }
}

/**
 * Ends the copy for good, before an application is sent to the target: no claim is in force, no connection of a follower
 * is left, and the fence of this cutover still holds. Can run twice.
 * @throws cutover.Deadline where a connection can't be ended, cutover.Denied where CLIENT KILL is refused;
 *   cutover.Replication where the fence is gone: what was written since is not on the target
 */
export async function closeCopy(input: {
  migration: RedisOnlineScan;
  fence: RaisedSourceFence;
  generation: number;
  /** The hooks come next: there is no gate to go back to. */
  sendingNow?: boolean;
}): Promise<{ note: string }> {
  const { migration, fence, generation, sendingNow } = input;
  await close(migration);
  const held = await sourceFenceHolds(migration.source, fencerName(migration.id), fence, generation);
  if (!held.holds) {
    throw permanent(ErrorType.replication, `the fence on the source did not hold until the switch: ${held.why ?? ''}`, {
      remedy: sendingNow
        ? 'no hook has run: the application is still at the source. Abort, and start again; what the source took since is not on the target'
        : 'the follower begins again, and compares everything; then approve the cutover again',
    });
  }
  return { note: 'the copy has ended: no connection of ours writes to the target' };
}

async function close(migration: RedisOnlineScan): Promise<void> {
  const desk = await Desk.open(migration.target, migration.id, 'ask');
  try {
    if (!(await desk.claim(migration.id, CLOSED))) {
      throw permanent(ErrorType.notOurs, 'the target was taken by another migration’s copy meanwhile');
    }
    await endCopiers(migration);
  } catch (error) {
    throw copyFailure(error);
  } finally {
    desk.close();
  }
}

/** Nothing of the copy's own stays on the target: its keys. Can run twice. */
export async function forgetCopy({ migration }: { migration: RedisOnlineScan }): Promise<void> {
  const desk = await Desk.open(migration.target, migration.id, 'ask');
  try {
    if (isOwn(await desk.owner(), migration.id)) await desk.clear();
  } finally {
    desk.close();
  }
}

/**
 * The undo of the attach: the copy is over, and what it brought is deleted or named. A target that was never taken for this
 * migration is left alone. Can run twice.
 * @param input.keepClaim our keys stay where its data does, for `forgetCopy`: another attempt has to tell whose it is
 */
export async function letGoOfCopyTarget({
  migration,
  keepClaim = false,
}: {
  migration: RedisOnlineScan;
  keepClaim?: boolean;
}): Promise<{ note: string; leftovers: string[] }> {
  const desk = await Desk.open(migration.target, migration.id, 'ask');
  try {
    if (!isOwn(await desk.owner(), migration.id)) {
      return { note: 'nothing on the target is this migration’s: left alone', leftovers: [] };
    }
    await desk.claim(migration.id, CLOSED);
    await endCopiers(migration);
    if (migration.abort.removePartialData) {
      await empty(migration);
      return { note: 'the copy has ended; the target is empty', leftovers: [] };
    }
    const leftovers = await whatIsThere(migration);
    if (!keepClaim) await desk.clear();
    return { note: 'the copy has ended', leftovers };
  } catch (error) {
    throw copyFailure(error);
  } finally {
    desk.close();
  }
}

const hasOwner = (node: PrimaryNode) => hasKey(node, OWNER);

/** The owner's key goes last: where a node fails, the next attempt still finds that the target is ours to empty. */
async function empty({ id, target }: RedisOnlineScan): Promise<void> {
  await withPrimaries(target, 'target', `cutover:${id}`, async ({ nodes }) => {
    for (const node of nodes.filter((one) => !hasOwner(one))) await node.redis.flushall();
    for (const node of nodes.filter(hasOwner)) await node.redis.flushall();
  });
}

async function whatIsThere({ id, target }: RedisOnlineScan): Promise<string[]> {
  return withPrimaries(target, 'target', `cutover:${id}`, async ({ nodes }) => {
    const leftovers: string[] = [];
    for (const node of nodes) {
      const counts = keysByDatabase(parseInfo(await node.redis.info('keyspace')));
      if (hasOwner(node)) counts.set(0, (counts.get(0) ?? 0) - (await node.redis.exists(...DESK_KEYS)));
      const named = [...counts].filter(([, keys]) => keys > 0).map(([db, keys]) => `db${db} keys=${keys}`);
      if (named.length > 0) leftovers.push(`data on ${nameOf(node)}: ${named.join('; ')}; empty it before another try`);
    }
    return leftovers;
  });
}

/** @throws cutover.Denied, cutover.Deadline */
async function endCopiers({ id, target }: RedisOnlineScan): Promise<void> {
  await withPrimaries(target, 'target', `cutover:${id}:end`, async ({ nodes }) => {
    const deadline = performance.now() + PATIENCE_MS;
    for (const node of nodes) {
      while ((await endNamed(node.redis, copierNames(id))) > 0) {
        if (performance.now() > deadline) {
          throw transient(ErrorType.deadline, `connections of the copy to ${nameOf(node)} could not be ended`);
        }
        await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
      }
    }
  });
}

/** @returns how many there still were */
async function endNamed(redis: Redis, names: readonly string[]): Promise<number> {
  let found = 0;
  for (const line of String(await redis.client('LIST')).split('\n')) {
    const field = (name: string) => new RegExp(`(?:^| )${name}=(\\S*)`).exec(line)?.[1] ?? '';
    if (!names.includes(field('name'))) continue;
    found++;
    await redis.client('KILL', 'ID', field('id'));
  }
  return found;
}
