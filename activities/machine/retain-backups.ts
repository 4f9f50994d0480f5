/** Retention: deletes older backups that the same migration made, each as a whole. */
import { ErrorType } from '../../spec/errors.ts';
import type { Retention, RetentionDecision } from '../../spec/retention.ts';
import { keep, kept } from '../aws/kept.ts';
import { pollInterval } from '../aws/poll-interval.ts';
import { beat } from '../beat.ts';
import { addTags, deleteSnapshots, deregister, describeImage, findSnapshots, LETS_GO_MS } from '../ec2/images.ts';
import { isOurs, TAG, tagFilter, tagsOf, type Ours } from '../ec2/tags.ts';
import { permanent } from '../errors.ts';
import { planRetention } from '../retention/plan-retention.ts';
import { waitUntil } from '../wait-until.ts';
import type { FoundBackup } from './backups.ts';
import { backupsOf } from './list-backups.ts';

export interface RetainArgs {
  /** Whose run the new backup is: it stays, whatever the policy says. */
  ours: Ours;
  instanceId: string;
  policy: Retention;
  /** How long a snapshot may be in use after its image is gone, ms. */
  letsGo?: number;
}

export interface Retained {
  /** Beside the backups, a snapshot of a deleted one that is in use: the next run tries again. */
  kept: RetentionDecision[];
  deleted: RetentionDecision[];
  warnings: string[];
}

/**
 * Deregisters images and deletes their snapshots together; sets of snapshots as a whole. Only what is tagged by this
 * migration and of this machine, and never the last complete one. May run twice: a deletion that was cut short is ended.
 * A snapshot that is still in use when `letsGo` is over is kept and warned of: it stops neither this run nor the next.
 * @throws cutover.Invalid where nothing complete would be left; cutover.ServiceFailed where AWS refuses for long;
 *   cutover.Busy, cutover.Denied, cutover.Throttled, cutover.Unreachable
 */
export async function retainMachineBackups({
  ours,
  instanceId,
  policy,
  letsGo = LETS_GO_MS,
}: RetainArgs): Promise<Retained> {
  const all = await backupsOf({ migrationId: ours.migrationId, instanceId }, ours.aws);
  const living = all.filter(({ retired, createdAt }) => !retired && createdAt !== undefined);
  const decisions = planRetention(
    living.map(({ id, createdAt, complete, pending }) => ({ id, createdAt: createdAt!, complete, pending })),
    policy,
  ).map((decision) => {
    const own = living.find(({ id }) => id === decision.id)?.run === ours.run;
    return own && !decision.keep ? { ...decision, keep: true, because: 'made by this run' } : decision;
  });
  const going = decisions.filter(({ keep }) => !keep);
  const staying = living.filter(({ id, complete }) => complete && !going.some((decision) => decision.id === id));
  if (staying.length === 0) {
    throw permanent(ErrorType.invalid, `no complete backup of ${instanceId} would be left: nothing is deleted`, {
      remedy: 'look at the catalogue: cutover snapshots',
    });
  }
  // What an attempt before this one has deleted is seen no more, and belongs into the report too.
  const earlier = (kept<{ retired: RetentionDecision[] }>().retired ?? []).filter(
    (decision) => !decisions.some(({ id }) => id === decision.id),
  );
  keep({ retired: [...earlier, ...going] });
  const inUse = new Set<string>();
  const note = (ids: string[]) => ids.forEach((id) => inUse.add(id));
  for (const { id } of going)
    note(
      await retire(
        ours,
        living.find((backup) => backup.id === id)!,
      ),
    );
  // What an earlier run had begun to delete: its image may be gone, and only the tags of its snapshots tell.
  for (const backup of all.filter(({ retired }) => retired)) note(await removeWhole(ours, backup));
  note(await removeRetiredSnapshots(ours, instanceId));
  const left = inUse.size === 0 ? [] : await untilLetGo(ours, [...inUse], letsGo);
  const because = 'an image that cutover did not make uses it';
  return {
    kept: [...decisions.filter(({ keep }) => keep), ...left.map((id) => ({ id, keep: true, because }))],
    deleted: [...earlier, ...going],
    warnings: left.map((id) => `retention: ${id} stays: ${because}`),
  };
}

/** Images that were deregistered a moment ago let go of their snapshots, others do not. @returns what is left */
async function untilLetGo(ours: Ours, ids: string[], letsGo: number): Promise<string[]> {
  const began = Date.now();
  return waitUntil({
    intervalMs: pollInterval(),
    read: () => deleteSnapshots(ids, ours.aws),
    done: (left) => left.length === 0 || Date.now() - began > letsGo,
    progress: (left) => ({ text: left.length === 0 ? 'all are deleted' : `${left.join(', ')} is in use still` }),
  });
}

/** @returns snapshots that are in use */
async function retire(ours: Ours, backup: FoundBackup): Promise<string[]> {
  beat({ progress: { text: `delete ${backup.name}` } });
  const snapshotIds = await taggedSnapshots(ours, backup);
  await addTags(
    [...(backup.imageId ? [backup.imageId] : []), ...snapshotIds],
    { [TAG.retired]: new Date().toISOString() },
    ours.aws,
  );
  return removeWhole(ours, { ...backup, snapshotIds });
}

/** Somebody else's snapshot in an image of ours stays. */
async function taggedSnapshots({ migrationId, aws }: Ours, backup: FoundBackup): Promise<string[]> {
  if (backup.snapshotIds.length === 0) return [];
  const found = await findSnapshots([{ Name: 'snapshot-id', Values: backup.snapshotIds }], aws);
  return found.flatMap(({ SnapshotId, Tags }) =>
    SnapshotId && tagsOf(Tags)[TAG.migration] === migrationId ? [SnapshotId] : [],
  );
}

/** @returns snapshots that are in use */
async function removeWhole(ours: Ours, backup: FoundBackup): Promise<string[]> {
  const { imageId } = backup;
  if (imageId !== undefined) {
    await deregister(imageId, ours.aws);
    await waitUntil({
      intervalMs: pollInterval(),
      read: () => describeImage(imageId, ours.aws),
      done: (image) => image === undefined || image.State === 'deregistered',
      progress: () => ({ text: `${imageId} is being deregistered` }),
    });
  }
  return deleteSnapshots(await taggedSnapshots(ours, backup), ours.aws);
}

/** @returns those that are in use */
async function removeRetiredSnapshots(ours: Ours, instanceId: string): Promise<string[]> {
  const left = await findSnapshots(
    [
      tagFilter(TAG.migration, ours.migrationId),
      tagFilter(TAG.instance, instanceId),
      { Name: 'tag-key', Values: [TAG.retired] },
    ],
    ours.aws,
  );
  return deleteSnapshots(
    left.flatMap(({ SnapshotId, Tags }) => (SnapshotId && !isOurs(ours, Tags) ? [SnapshotId] : [])),
    ours.aws,
  );
}
