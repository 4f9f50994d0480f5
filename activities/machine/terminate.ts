/** Terminates the machine that a run has made, and no other: by the tags of the run alone. */
import { DeleteVolumeCommand, TerminateInstancesCommand, type Instance, type Volume } from '@aws-sdk/client-ec2';
import { ErrorType } from '../../spec/errors.ts';
import { ec2 } from '../aws/clients.ts';
import { awsFailure, isCode } from '../aws/failure.ts';
import { notYetVisibleMs } from '../aws/not-yet-visible.ts';
import { pollInterval } from '../aws/poll-interval.ts';
import { describeInstance, describeInstances, describeVolumes } from '../ec2/instance.ts';
import { isOurs, oursFilters, type Ours } from '../ec2/tags.ts';
import { READINGS_OF_NOTHING, waitedMs } from '../ec2/wait.ts';
import { permanent, transient } from '../errors.ts';
import { waitUntil } from '../wait-until.ts';

/** AWS ends a machine within minutes, ms. */
const LIMIT_MS = 30 * 60_000;

/** A call of RunInstances, for its undo. */
export interface BegunMachine {
  /** When it ended at the latest, or was given up, ms since 1970: from then on it takes a while to be seen. */
  at: number;
  /** What it answered. Undefined: there was no answer, and it may have been carried out all the same. */
  instanceId?: string;
}

/**
 * Waits until it is terminated and its volumes are gone, those too that AWS keeps when a machine ends
 * (`DeleteOnTermination: false`). Runs as often as it likes. One that was begun and is not seen is looked for as long as it
 * may take to be seen.
 * @throws cutover.Denied (termination protection), cutover.Deadline naming what is left, cutover.NotOurs where the
 *   machine is there and has lost our tags, cutover.Throttled, cutover.Unreachable; CancelledFailure
 */
export async function terminateMachine({
  ours,
  begun,
  notYetVisible = notYetVisibleMs(),
}: {
  ours: Ours;
  begun?: BegunMachine;
  /** ms */
  notYetVisible?: number;
}): Promise<{ note: string; ids: string[] }> {
  const seen = new Set<string>();
  const all = new Set<string>();
  const isSeen = () =>
    !begun || (begun.instanceId !== undefined && all.has(begun.instanceId)) || Date.now() - begun.at >= notYetVisible;
  let empty = 0;
  await waitUntil<{ machines: Instance[]; volumes: Volume[] }>({
    intervalMs: pollInterval(),
    read: async () => {
      const found = (await describeInstances(oursFilters(ours), ours.aws)).filter(({ Tags }) => isOurs(ours, Tags));
      for (const { InstanceId = '' } of found) all.add(InstanceId);
      const machines = found.filter(({ State }) => State?.Name !== 'terminated');
      for (const { InstanceId = '', State } of machines) {
        seen.add(InstanceId);
        if (State?.Name !== 'shutting-down') await terminate(ours, InstanceId);
      }
      const volumes = (await describeVolumes(oursFilters(ours), ours.aws)).filter(
        ({ State, Tags }) => State !== 'deleted' && isOurs(ours, Tags),
      );
      for (const { VolumeId = '', State } of volumes) if (State === 'available') await deleteVolume(ours, VolumeId);
      empty = machines.length + volumes.length === 0 ? empty + 1 : 0;
      if (empty === 0 && waitedMs() > LIMIT_MS) throw tooLate(machines, volumes);
      return { machines, volumes };
    },
    // One that was started a moment ago may not be visible yet.
    done: () => empty >= READINGS_OF_NOTHING && isSeen(),
    progress: ({ machines, volumes }) => ({
      text:
        empty > 0 && !isSeen()
          ? 'what was begun a moment ago may not be visible yet'
          : `${machines.map(({ InstanceId, State }) => `${InstanceId} is ${State?.Name}`).join(', ') || 'no machine'}, ${volumes.length} volume(s)`,
    }),
  });
  if (begun?.instanceId !== undefined) await assertGone(ours, begun.instanceId);
  const ids = [...seen];
  return { ids, note: ids.length === 0 ? 'no machine was there' : `${ids.join(', ')} terminated, no volume left` };
}

/** Something that rewrites tags may have taken ours from it: found by its id alone, it is not ours to terminate. */
async function assertGone({ aws, run }: Ours, id: string): Promise<void> {
  const state = (await describeInstance(id, aws))?.State?.Name;
  if (state === undefined || state === 'terminated') return;
  if (state === 'shutting-down') throw transient(ErrorType.busy, `${id} is ${state}`, { benign: true });
  throw permanent(ErrorType.notOurs, `${id}, which this run has made, is ${state}, and has no tags of this run`, {
    remedy: `if it is the one that was made: terminate it, or give it the tags cutover:migration and cutover:run=${run} again; then retry`,
  });
}

function tooLate(machines: Instance[], volumes: Volume[]): Error {
  const left = [
    ...machines.map(({ InstanceId, State }) => `${InstanceId} is ${State?.Name}`),
    ...volumes.map(({ VolumeId, State }) => `${VolumeId} is ${State}`),
  ];
  return permanent(ErrorType.deadline, `not gone after ${LIMIT_MS / 60_000} min: ${left.join(', ')}`, {
    remedy: 'a volume that was attached to another machine has to be detached first; then retry',
  });
}

async function terminate({ aws }: Ours, id: string): Promise<void> {
  try {
    await ec2(aws).send(new TerminateInstancesCommand({ InstanceIds: [id] }));
  } catch (error) {
    if (isCode(error, 'InvalidInstanceID.NotFound')) return;
    if (isCode(error, 'OperationNotPermitted')) {
      throw permanent(ErrorType.denied, `${id} is protected from termination`, {
        remedy: `if it may go: aws ec2 modify-instance-attribute --instance-id ${id} --no-disable-api-termination; then retry`,
      });
    }
    throw awsFailure(error, `TerminateInstances ${id}`);
  }
}

async function deleteVolume({ aws }: Ours, id: string): Promise<void> {
  try {
    await ec2(aws).send(new DeleteVolumeCommand({ VolumeId: id }));
  } catch (error) {
    if (isCode(error, 'InvalidVolume.NotFound')) return;
    throw awsFailure(error, `DeleteVolume ${id}`);
  }
}
