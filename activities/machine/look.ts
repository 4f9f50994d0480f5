/** The machine as it is now: what a backup is taken of. */
import type { MachineBackup } from '../../spec/kind-machine-backup.ts';
import { findMachine, type MachineFacts } from '../ec2/instance.ts';

/** Changes nothing. @throws as findMachine */
export async function lookAtMachine({
  migration,
}: {
  migration: Pick<MachineBackup, 'instance' | 'aws'>;
}): Promise<MachineFacts> {
  return findMachine(migration.instance, migration.aws);
}
