/** What a backup's tags say: all that a restore has to go by where the machine is gone. */
import type { MachineBackup } from '../../spec/kind-machine-backup.ts';
import type { MachineFacts } from '../ec2/instance.ts';
import { oursTags, TAG, type Ours } from '../ec2/tags.ts';

export function backupTags(
  ours: Ours,
  name: string,
  machine: MachineFacts,
  migration: Pick<MachineBackup, 'method' | 'tags'>,
): Record<string, string | undefined> {
  return {
    Name: name,
    ...migration.tags,
    ...oursTags(ours),
    [TAG.name]: name,
    [TAG.method]: migration.method,
    [TAG.instance]: machine.id,
    [TAG.volumes]: String(machine.volumes.length),
    // Until it is known to be more.
    [TAG.consistency]: 'crash',
    [TAG.privateIp]: machine.privateIp,
    [TAG.publicIp]: machine.publicIp,
    [TAG.type]: machine.type,
    [TAG.subnet]: machine.subnet,
    [TAG.securityGroups]: whole(machine.securityGroups),
    [TAG.key]: machine.key,
    [TAG.profile]: machine.profile,
  };
}

/** As many as a tag holds: half an id would be another group's. */
function whole(ids: string[]): string {
  return ids.reduce((text, id) => (text.length + id.length + 1 > 256 ? text : text === '' ? id : `${text} ${id}`), '');
}
