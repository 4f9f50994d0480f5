/** The fence of a cluster lifted: each primary gets back what it had, and the record goes last. */
import type { Redis } from 'ioredis';
import { ApplicationFailure } from '@temporalio/common';
import { ErrorType } from '../../spec/errors.ts';
import { permanent, transient } from '../errors.ts';
import type { OtherNode } from './cluster-view.ts';
import { fencedNodeOf, holdsRecord, readClusterRecord } from './cluster-record.ts';
import {
  NO_FENCE,
  NOT_THIS_ATTEMPTS,
  proveWritable,
  refuseAnothers,
  type LiftedFence,
  type LiftOptions,
} from './fence.ts';
import {
  FENCE_KEY,
  fenceValue,
  isFenceValue,
  readFenceSettings,
  type FencedNode,
  type FenceRecord,
  type FenceSettings,
} from './fence-record.ts';
import { keyOn, nameOf, nodeFailure, type Primaries, type PrimaryNode } from './primaries.ts';

interface Fenced {
  node: PrimaryNode;
  settings: FenceSettings;
}

/** As `liftSourceFences`, of which this is the part for clusters. */
export async function liftOnCluster(primaries: Primaries, options: LiftOptions): Promise<LiftedFence> {
  // Without it nobody can say whose fence this is: to lift another migration's would let writes through that it loses.
  const record = await readClusterRecord(primaries);
  const tried = await Promise.all(primaries.nodes.map(settingsOf));
  const troubles = [
    ...primaries.unreached.map(({ why }) => why),
    ...tried.flatMap((one) => ('why' in one ? [one.why] : [])),
  ];
  const all = tried.flatMap((one) => ('why' in one ? [] : [one]));
  const fenced = all.filter(({ settings }) => isMeant(settings, options));
  if (fenced.length === 0 && options.generation !== undefined) return orThrow(troubles, NOT_THIS_ATTEMPTS);
  refuseAnothers(record, options);

  const others = all.filter((one) => !fenced.includes(one) && isFenceValue(one.settings.toWrite));
  // As on a single server: where there never was a fence, whether it takes writes is not our affair.
  const toProve = record ? all.filter((one) => !others.includes(one)) : fenced;
  const failures = await Promise.all(toProve.map((one) => liftOne(one, primaries, record, fenced.includes(one))));
  troubles.push(...failures.flatMap((failure) => failure ?? []));
  const former = await Promise.all(primaries.others.map((other) => liftFormer(other, primaries, record, options)));
  const notes = former.filter((note) => note !== undefined);
  if (troubles.length === 0 && others.length === 0 && record) await removeRecord(primaries);
  if (!record && fenced.length === 0 && notes.length === 0) return orThrow(troubles, NO_FENCE);
  return orThrow(troubles, { changed: true, detail: [detailOf(fenced, record), ...notes].join('; ') });
}

async function settingsOf(node: PrimaryNode): Promise<Fenced | { why: Error }> {
  return readFenceSettings(node.redis).then(
    (settings) => ({ node, settings }),
    (error: unknown) => ({ why: nodeFailure(error, node) }),
  );
}

const isMeant = ({ toWrite }: FenceSettings, { generation }: LiftOptions): boolean =>
  generation === undefined ? isFenceValue(toWrite) : toWrite === fenceValue(generation);

async function liftOne(
  { node, settings }: Fenced,
  primaries: Primaries,
  record: FenceRecord | undefined,
  isFenced: boolean,
): Promise<Error | undefined> {
  try {
    if (isFenced) await putBack(node.redis, settings, record && fencedNodeOf(record, node));
    await proveWritable(node.redis, { key: keyOn(`${FENCE_KEY}:probe`, primaries, node), where: nameOf(node) });
    return undefined;
  } catch (error) {
    return nodeFailure(error, node);
  }
}

async function putBack(redis: Redis, settings: FenceSettings, old: FencedNode | undefined): Promise<void> {
  await redis.config('SET', settings.toWriteName, old?.minReplicasToWrite ?? 0);
  if (old?.minReplicasMaxLag === 0) await redis.config('SET', settings.maxLagName, 0);
}

/**
 * A primary that was fenced and is a replica by now keeps the setting: it would refuse every write from the day on which
 * it is a primary again.
 * @returns what was done, or could not be
 */
async function liftFormer(
  other: OtherNode,
  { open }: Primaries,
  record: FenceRecord | undefined,
  options: LiftOptions,
): Promise<string | undefined> {
  const old = record?.nodes?.[other.id];
  try {
    const redis = await open(other.at);
    const settings = await readFenceSettings(redis);
    if (!isMeant(settings, options)) return undefined;
    await putBack(redis, settings, old);
    return `${nameOf(other)}, which is no primary any more, has ${settings.toWriteName} ${old?.minReplicasToWrite ?? 0} again`;
  } catch (error) {
    if (!old) return undefined;
    const why = error instanceof Error ? error.message : String(error);
    return (
      `${nameOf(other)} was fenced, is no primary any more and could not be asked (${why}): unless it is restarted, ` +
      `it needs CONFIG SET min-replicas-to-write ${old.minReplicasToWrite} before it is one again`
    );
  }
}

async function removeRecord({ nodes }: Primaries): Promise<void> {
  const holder = nodes.find(holdsRecord);
  await holder?.redis.del(FENCE_KEY).catch((error: unknown) => {
    throw nodeFailure(error, holder);
  });
}

function detailOf(fenced: Fenced[], record: FenceRecord | undefined): string {
  if (fenced.length === 0)
    return 'every primary of the source had been restarted or replaced and with it the fence was gone; its record is removed';
  const values = fenced.map(({ node, settings }) => {
    const old = record && fencedNodeOf(record, node);
    const lost = record && !old ? ', which may not be what it was: it is not in the record' : '';
    return `${settings.toWriteName} of ${nameOf(node)} is ${old?.minReplicasToWrite ?? 0}${lost}`;
  });
  const list = values.join('; ');
  return record ? `lifted: ${list}` : `lifted; its record was lost, so ${list}, which may not be what it was`;
}

/** One failure that names all nodes that are not lifted. Retried where one of them may come back. */
function orThrow(troubles: Error[], lifted: LiftedFence): LiftedFence {
  const [first, ...more] = troubles;
  if (!first) return lifted;
  if (more.length === 0) throw first;
  const text = troubles.map(({ message }) => message).join('; ');
  const passing = troubles.find((one) => one instanceof ApplicationFailure && !one.nonRetryable);
  throw passing ? transient(ErrorType.unreachable, text) : permanent(ErrorType.invalid, text);
}
