/** Removes what a run has made of images and snapshots, for its undo and before it takes another one. */
import type { Image, Snapshot } from '@aws-sdk/client-ec2';
import { ErrorType } from '../../spec/errors.ts';
import { notYetVisibleMs } from '../aws/not-yet-visible.ts';
import { pollInterval } from '../aws/poll-interval.ts';
import { addTags, deleteSnapshots, deregister, findImages, findSnapshots, LETS_GO_MS } from '../ec2/images.ts';
import { imageState } from '../ec2/status-table.ts';
import { oursFilters, TAG, tagsOf, type Ours } from '../ec2/tags.ts';
import { READINGS_OF_NOTHING } from '../ec2/wait.ts';
import { permanent } from '../errors.ts';
import { waitUntil } from '../wait-until.ts';
import type { Taken } from './take-backup.ts';

/** A call of CreateImage or CreateSnapshots, for its undo. */
export interface BegunBackup {
  /** When it ended at the latest, or was given up, ms since 1970: from then on it takes a while to be seen. */
  at: number;
  /**
   * What CreateImage answered. Undefined: there was no answer, and it may have been carried out all the same; or it is a
   * set of snapshots, of which a call whose answer was lost may have made a second one.
   */
  imageId?: string;
  /** How many snapshots an image of the machine has. */
  volumes: number;
}

/**
 * Deregisters and deletes all that this run has made, and waits until it is gone. Nothing else is touched: by the tags
 * of the run alone. Runs as often as it likes. What was begun and is not seen is looked for as long as it may take
 * to be seen; an image that was answered, only until it and its snapshots have been seen.
 * @throws cutover.ServiceFailed where an image that is not of this run uses a snapshot, or AWS refuses for long;
 *   cutover.Busy, cutover.Denied, cutover.Throttled, cutover.Unreachable
 */
export async function removeMachineBackup({
  ours,
  begun,
  notYetVisible = notYetVisibleMs(),
  letsGo = LETS_GO_MS,
}: {
  ours: Ours;
  begun?: BegunBackup;
  /** ms */
  notYetVisible?: number;
  /** How long a snapshot may be in use after its image is gone, ms. */
  letsGo?: number;
}): Promise<{ note: string }> {
  return remove(
    ours,
    () => true,
    ({ images, snapshots }) => {
      if (!begun || Date.now() - begun.at >= notYetVisible) return true;
      return begun.imageId !== undefined && images.has(begun.imageId) && snapshots.size >= begun.volumes;
    },
    letsGo,
  );
}

/**
 * After a crash in CreateSnapshots there may be two sets of one try: what is not of the one that was adopted goes.
 * @throws as removeMachineBackup
 */
export async function removeOtherCalls({ ours, taken }: { ours: Ours; taken: Taken }): Promise<{ note: string }> {
  return remove(
    ours,
    (tags) => taken.call !== undefined && tags[TAG.call] !== undefined && tags[TAG.call] !== taken.call,
  );
}

async function remove(
  ours: Ours,
  isMeant: (tags: Record<string, string>) => boolean,
  isAll: (seen: { images: Set<string>; snapshots: Set<string> }) => boolean = () => true,
  letsGo = LETS_GO_MS,
): Promise<{ note: string }> {
  const removed = new Set<string>();
  const seen = { images: new Set<string>(), snapshots: new Set<string>() };
  let empty = 0;
  let inUseSince = Infinity;
  await waitUntil<{ images: Image[]; snapshots: Snapshot[] }>({
    intervalMs: pollInterval(),
    read: async () => {
      const filters = oursFilters(ours);
      const images = (await findImages(filters, ours.aws)).filter(
        ({ Tags, State }) => isMeant(tagsOf(Tags)) && State !== 'deregistered',
      );
      const snapshots = (await findSnapshots(filters, ours.aws)).filter(({ Tags }) => isMeant(tagsOf(Tags)));
      for (const { SnapshotId = '' } of snapshots) seen.snapshots.add(SnapshotId);
      for (const { ImageId = '' } of images) {
        seen.images.add(ImageId);
        await deregister(ImageId, ours.aws);
        removed.add(ImageId);
      }
      // An image holds its snapshots until it is gone, which is seen at the next reading.
      if (images.length === 0) {
        const ids = snapshots.map(({ SnapshotId = '' }) => SnapshotId);
        const inUse = await deleteSnapshots(ids, ours.aws);
        for (const id of ids) if (!inUse.includes(id)) removed.add(id);
        inUseSince = inUse.length === 0 ? Infinity : Math.min(inUseSince, Date.now());
        if (Date.now() - inUseSince > letsGo) throw usedByAnother(inUse);
      }
      empty = images.length + snapshots.length === 0 ? empty + 1 : 0;
      return { images, snapshots };
    },
    // What was begun a moment ago may not be visible yet: seen once as nothing is not gone.
    done: () => empty >= READINGS_OF_NOTHING && isAll(seen),
    progress: ({ images, snapshots }) => ({
      text:
        empty > 0 && !isAll(seen)
          ? 'what was begun a moment ago may not be visible yet'
          : `${images.length} image(s) and ${snapshots.length} snapshot(s) to remove`,
    }),
  });
  return { note: removed.size === 0 ? 'nothing was there' : `removed ${[...removed].join(', ')}` };
}

function usedByAnother(ids: string[]): Error {
  return permanent(ErrorType.serviceFailed, `${ids.join(', ')}: an image that this run did not make uses it`, {
    remedy: 'deregister that image, if it may go, and retry; or delete the snapshot later',
  });
}

/** Whether a backup of this run has failed or is gone, so that waiting for it is in vain. @throws as removeMachineBackup */
export async function machineBackupFailed({ ours, taken }: { ours: Ours; taken: Taken }): Promise<boolean> {
  const images = await findImages(oursFilters(ours), ours.aws);
  const snapshots = await findSnapshots(oursFilters(ours), ours.aws);
  const broken = snapshots.some(
    ({ State, Tags }) => tagsOf(Tags)[TAG.name] === taken.name && (State === 'error' || State === 'recoverable'),
  );
  if (taken.imageId === undefined)
    return broken || !snapshots.some(({ Tags }) => tagsOf(Tags)[TAG.call] === taken.call);
  const image = images.find(({ ImageId }) => ImageId === taken.imageId);
  const meaning = imageState(taken.imageId, image?.State).meaning;
  return broken || image === undefined || meaning === 'failed' || meaning === 'ask';
}

/** Says on the backup itself how consistent it is. @throws cutover.NotFound, cutover.Denied, cutover.Throttled, cutover.Unreachable */
export async function markMachineBackup(args: { ours: Ours; ids: string[]; consistency: string }): Promise<void> {
  await addTags(args.ids, { [TAG.consistency]: args.consistency }, args.ours.aws);
}
