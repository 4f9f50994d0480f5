/** Which image a restore starts from, and what is known of the machine that it was taken of. */
import { ErrorType } from '../../spec/errors.ts';
import type { MachineRestore } from '../../spec/kind-machine-restore.ts';
import { awsFailure } from '../aws/failure.ts';
import { findMachine, type MachineFacts } from '../ec2/instance.ts';
import { TAG } from '../ec2/tags.ts';
import { permanent } from '../errors.ts';
import { findImageBackup, type FoundBackup } from './backups.ts';
import { backupsOf } from './list-backups.ts';

export interface Chosen {
  imageId: string;
  name: string;
  createdAt?: string;
  consistency?: string;
  volumes: number;
  /** The machine that was backed up. */
  source?: string;
  /** Its state now; absent where it is gone. */
  sourceState?: string;
  settings: {
    type?: string;
    subnet?: string;
    securityGroups?: string[];
    key?: string;
    profile?: string;
  };
  /** Addresses of the old machine: by the backup's tags, the machine itself where it is there, and the file. */
  old: { private: string[]; public: string[] };
}

/**
 * Changes nothing. A backup that is not complete is never chosen.
 * @throws cutover.NotFound naming what was looked for and what is there; cutover.Denied, cutover.Throttled,
 *   cutover.Unreachable
 */
export async function chooseMachineBackup({ migration }: { migration: MachineRestore }): Promise<Chosen> {
  const { from } = migration;
  const backup = 'image' in from ? await byId(from.image, migration) : await latest(migration);
  const source = await sourceOf(backup, migration);
  const { tags } = backup;
  const optional = {
    type: migration.instance.type ?? tags[TAG.type] ?? source?.type,
    subnet: migration.instance.subnet ?? tags[TAG.subnet] ?? source?.subnet,
    securityGroups:
      migration.instance.securityGroups ??
      tags[TAG.securityGroups]?.split(' ').filter(Boolean) ??
      source?.securityGroups,
    key: migration.instance.key ?? tags[TAG.key] ?? source?.key,
    profile: migration.instance.profile ?? tags[TAG.profile] ?? source?.profile,
  };
  return {
    imageId: backup.imageId!,
    name: backup.name,
    volumes: backup.snapshotIds.length,
    ...(backup.createdAt ? { createdAt: backup.createdAt } : {}),
    ...(backup.consistency ? { consistency: backup.consistency } : {}),
    ...(backup.instance ? { source: backup.instance } : {}),
    ...(source ? { sourceState: source.state } : {}),
    settings: Object.fromEntries(Object.entries(optional).filter(([, value]) => value !== undefined)),
    old: {
      private: unique([tags[TAG.privateIp], source?.privateIp, ...migration.oldAddresses.private]),
      public: unique([tags[TAG.publicIp], source?.publicIp, ...migration.oldAddresses.public]),
    },
  };
}

async function byId(imageId: string, { aws }: MachineRestore): Promise<FoundBackup> {
  const backup = await findImageBackup(imageId, aws);
  if (!backup) {
    throw permanent(ErrorType.notFound, `image ${imageId}: there is none in this account and region`, {
      remedy: 'cutover snapshots lists what is there; check the region and the account of the worker',
    });
  }
  return requireUsable(backup);
}

async function latest({ from, aws }: MachineRestore): Promise<FoundBackup> {
  if (!('latestOf' in from)) throw new TypeError('latestOf is expected');
  const { migration: migrationId, instance: instanceId } = from.latestOf;
  const what = migrationId === undefined ? `of ${instanceId}` : `by ${migrationId}`;
  const found = (await backupsOf({ migrationId, instanceId }, aws)).filter(({ retired }) => !retired);
  const whole = found
    .filter(({ complete, imageId }) => complete && imageId !== undefined)
    .sort((a, b) => (b.createdAt ?? '').localeCompare(a.createdAt ?? ''));
  const [newest] = whole;
  if (newest) return newest;
  const others = found.map(({ id, type, problem }) => `${id} (${problem ?? type})`).join(', ');
  throw permanent(ErrorType.notFound, `there is no complete image ${what}; found: ${others || 'nothing'}`, {
    remedy: found.some(({ type }) => type === 'volume-snapshots')
      ? 'snapshots alone start no machine: register an image of them (docs/machines.md), and name it as from.image'
      : 'run the machine-backup first, with method: image',
  });
}

function requireUsable(backup: FoundBackup): FoundBackup {
  if (backup.complete && !backup.retired) return backup;
  throw permanent(
    ErrorType.serviceFailed,
    `image ${backup.id} cannot be restored from: ${backup.retired ? 'retention is deleting it' : backup.problem}`,
    { remedy: backup.pending ? 'wait until it is complete' : 'choose another one: cutover snapshots' },
  );
}

async function sourceOf(backup: FoundBackup, { aws }: MachineRestore): Promise<MachineFacts | undefined> {
  if (backup.instance === undefined) return undefined;
  try {
    const machine = await findMachine(backup.instance, aws);
    return machine.state === 'terminated' ? undefined : machine;
  } catch (error) {
    const type = (error as { type?: string }).type;
    // It is what backups are for.
    if (type === ErrorType.notFound) return undefined;
    throw awsFailure(error, `the machine ${backup.instance}`);
  }
}

function unique(values: (string | undefined)[]): string[] {
  return [...new Set(values.filter((value) => value !== undefined && value !== ''))] as string[];
}
