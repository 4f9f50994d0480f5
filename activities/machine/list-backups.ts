/** The backups of machines, for the catalogue. */
import type { CatalogueEntry, ListBackupsInput } from '../../spec/catalogue.ts';
import { TAG, tagFilter } from '../ec2/tags.ts';
import { findBackups, type FoundBackup } from './backups.ts';

const GIB = 1024 ** 3;

/**
 * Every image of the account, also those that cutover did not make, and the sets of snapshots that it took.
 * @param input.source an instance id; images that cutover did not make are found by it where AWS says their source
 * @throws cutover.Denied, cutover.Throttled, cutover.Unreachable
 */
export async function listMachineBackups(input: ListBackupsInput): Promise<CatalogueEntry[]> {
  const { source, aws = {} } = input;
  const all = await findBackups([], aws);
  const chosen =
    source === undefined ? all : all.filter(({ instance, tags }) => instance === source || tags['Name'] === source);
  return chosen.map(entryOf);
}

/** Those that a migration made of a machine. @throws as listMachineBackups */
export async function backupsOf(
  given: { migrationId?: string | undefined; instanceId?: string | undefined },
  aws: { region?: string | undefined } = {},
): Promise<FoundBackup[]> {
  return findBackups(
    [
      ...(given.migrationId === undefined ? [] : [tagFilter(TAG.migration, given.migrationId)]),
      ...(given.instanceId === undefined ? [] : [tagFilter(TAG.instance, given.instanceId)]),
    ],
    aws,
  );
}

function entryOf(backup: FoundBackup): CatalogueEntry {
  const { migration, run, createdAt } = backup;
  return {
    system: 'machine',
    type: backup.type,
    id: backup.id,
    name: backup.name,
    source: backup.instance ?? '',
    state: backup.retired ? `${backup.state}, being deleted` : backup.state,
    complete: backup.complete && !backup.retired,
    automatic: false,
    // What a snapshot would cost on its own; what is stored is less, as only changed blocks are.
    sizeBytes: backup.sizeGiB * GIB,
    ...(createdAt === undefined ? {} : { createdAt, asOf: createdAt }),
    ...(backup.retired ? { problem: 'retention was deleting it' } : backup.problem ? { problem: backup.problem } : {}),
    ...(migration === undefined ? {} : { madeBy: { migration, ...(run === undefined ? {} : { run }) } }),
  };
}
