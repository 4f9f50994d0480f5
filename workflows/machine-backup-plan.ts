/** The plan of `machine-backup`. Pure. */
import type { MachineBackup } from '../spec/kind-machine-backup.ts';
import { selectorText } from '../spec/machine.ts';
import type { Plan, PlannedStep } from '../spec/status.ts';

export function machineBackupPlan(migration: MachineBackup): Plan {
  const machine = selectorText(migration.instance);
  const { method, before, after, retention } = migration;
  const names = (list: { name: string }[]) => list.map(({ name }) => name).join(', ');
  const what = method === 'image' ? 'an image' : 'snapshots of all its volumes';
  const held: PlannedStep[] =
    before.length === 0
      ? []
      : [
          {
            id: 'consistent',
            kind: 'step',
            title: `It was held by ${names(before)} when the backup was begun; retry takes another one`,
            skip: 'the backup is kept, and is only crash-consistent',
          },
        ];
  const pruned: PlannedStep[] = retention
    ? [
        {
          id: 'retention',
          kind: 'step',
          title: 'Older backups that this migration made are deleted, as a whole each; never the last good one',
          skip: 'the older backups stay',
          warning: 'what it deletes is gone',
        },
      ]
    : [];
  return {
    kind: migration.kind,
    title: migration.description ?? `Backup of ${machine}`,
    summary: `${machine} → ${what}`,
    steps: [
      { id: 'preflight', kind: 'step', title: `${machine} is there and can be backed up` },
      { id: 'look', kind: 'step', title: 'Its volumes and settings, which go into the backup’s tags' },
      {
        id: 'take',
        kind: 'step',
        title: [
          ...(before.length > 0 ? [`by SSM: ${names(before)}`] : []),
          method === 'image'
            ? `CreateImage ${migration.reboot ? 'with a reboot' : 'without a reboot'}`
            : 'CreateSnapshots of all volumes at one moment',
          ...(after.length > 0 ? [`then at once, and whatever happens: ${names(after)}`] : []),
        ].join('; '),
        undo: `${method === 'image' ? 'the image and its snapshots are' : 'the snapshots are'} deleted${after.length > 0 ? `; ${names(after)} is run` : ''}`,
      },
      ...held,
      { id: 'wait', kind: 'step', title: 'Wait until it is complete' },
      { id: 'verify', kind: 'step', title: 'Read it back: one completed snapshot for each volume' },
      ...pruned,
    ],
    warnings: [consistencyText(migration), ...guardText(migration)],
  };
}

function consistencyText({ before, reboot }: MachineBackup): string {
  if (reboot) return 'The machine is shut down for the image: its applications are away until it has started again.';
  if (before.length === 0) {
    return 'The backup is crash-consistent: as if the power had failed. What applications had in memory is not in it.';
  }
  return 'The backup is application-consistent as far as before and after make it so, and only where both succeed; else it is crash-consistent, and the operator is asked.';
}

function guardText({ after, guard }: MachineBackup): string[] {
  if (after.length === 0) return [];
  return [
    `The machine itself runs ${after.map(({ name }) => name).join(', ')} ${Math.round(guard / 1000)} s after before was begun, should nobody else do it.`,
  ];
}
