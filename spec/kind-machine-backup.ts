/** `kind: machine-backup`: an image of an EC2 machine without a reboot, or snapshots of all its volumes. */
import { z } from 'zod';
import { commandOutput, extraTags, instanceSelector, machineCommand } from './machine.ts';
import { migrationBase } from './migration-base.ts';
import { retention } from './retention.ts';
import { schedule } from './schedule.ts';
import { awsSettings, duration } from './values.ts';

/** SSM's own time to deliver and start a command, ms, in which the guard is running already. */
const GUARD_SLACK_MS = 30_000;

export const machineBackup = z
  .strictObject({
    ...migrationBase,
    kind: z.literal('machine-backup'),
    instance: instanceSelector,
    method: z
      .enum(['image', 'snapshots'])
      .prefault('image')
      .describe('image: an AMI, from which a machine can be started; snapshots: of all its volumes at one moment'),
    reboot: z
      .boolean()
      .prefault(false)
      .describe('true shuts the machine down for the image and starts it again; only with method image'),
    before: z
      .array(machineCommand)
      .prefault([])
      .describe('run on the machine by SSM before it begins: flush, BGSAVE, fsfreeze'),
    after: z
      .array(machineCommand)
      .prefault([])
      .describe('run as soon as the point in time is fixed, and whatever happens: thaw. Each may be run twice'),
    guard: duration({ min: '10s', max: '1h' })
      .prefault('5m')
      .describe('the machine runs `after` by itself so long after `before` was begun, should nobody else do it'),
    agentTimeout: duration({ min: '30s', max: '1h' })
      .prefault('2m')
      .describe('how long SSM may take to deliver a command to the machine'),
    output: commandOutput.optional().describe('where SSM puts the whole output of the commands'),
    tags: extraTags.describe('more tags for the image and its snapshots'),
    timeout: duration({ min: '10s', max: '72h' })
      .prefault('24h')
      .describe('how long it may take until it is complete, before the operator is asked'),
    retention: retention.optional().describe('older backups that this migration made are deleted, as a whole each'),
    schedule: schedule.optional(),
    aws: awsSettings.prefault({}),
  })
  .superRefine((file, ctx) => {
    const refuse = (path: string, message: string) => ctx.addIssue({ code: 'custom', path: [path], message });
    if (file.reboot && file.method === 'snapshots') {
      refuse('reboot', 'snapshots are taken without a reboot: leave it out, or use method: image');
    }
    if (file.reboot && file.before.length + file.after.length > 0) {
      refuse('reboot', 'a machine that is shut down for its image needs no before and after: one of the two');
    }
    if (file.after.length > 0 && file.before.length === 0) {
      refuse('after', 'there is nothing to undo without before');
    }
    for (const list of ['before', 'after'] as const) {
      const names = file[list].map(({ name }) => name);
      if (new Set(names).size < names.length) refuse(list, 'expected a name of its own for each command');
    }
    const needed = file.before.reduce((sum, { timeout }) => sum + timeout, GUARD_SLACK_MS);
    if (file.after.length > 0 && file.guard < needed) {
      refuse(
        'guard',
        `expected at least ${Math.ceil(needed / 1000)}s: the timeouts of before, and 30 s for SSM; else the machine would thaw before the backup is begun`,
      );
    }
  });
export type MachineBackup = z.output<typeof machineBackup>;
