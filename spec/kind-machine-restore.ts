/** `kind: machine-restore`: a new EC2 machine from an image, put right by commands and checked; or a drill of that. */
import { z } from 'zod';
import { hook } from './hooks.ts';
import { commandOutput, extraTags, instanceId } from './machine.ts';
import { machineStep } from './machine-steps.ts';
import { migrationBase } from './migration-base.ts';
import { schedule } from './schedule.ts';
import { awsSettings, duration, port } from './values.ts';

const imageId = z
  .string()
  .regex(/^ami-([0-9a-f]{8}|[0-9a-f]{17})$/, { error: 'expected an image id such as ami-0123456789abcdef0' });

const from = z.union(
  [
    z.strictObject({ image: imageId }),
    z.strictObject({
      latestOf: z
        .strictObject({
          migration: z.string().min(1).optional().describe('the id of a machine-backup'),
          instance: instanceId.optional().describe('the machine that was backed up, which may be gone'),
        })
        .refine((l) => (l.migration === undefined) !== (l.instance === undefined), {
          error: 'expected migration or instance, one of the two',
        }),
    }),
  ],
  { error: 'expected { image: ami-… }, or { latestOf: { migration: … } }, or { latestOf: { instance: i-… } }' },
);

const ipv4 = z.ipv4({ error: 'expected an IPv4 address' });

export const machineRestore = z
  .strictObject({
    ...migrationBase,
    kind: z.literal('machine-restore'),
    from,
    instance: z
      .strictObject({
        type: z.string().min(1).optional(),
        subnet: z.string().min(1).optional(),
        securityGroups: z.array(z.string().min(1)).min(1).optional(),
        key: z.string().min(1).optional(),
        profile: z.string().min(1).optional().describe('the name of an instance profile'),
        privateIp: ipv4.optional().describe('default: a new one. The old one is free only once its machine is gone'),
        tags: extraTags,
      })
      .prefault({})
      .describe('default: as the machine was that was backed up, by the tags of its backup'),
    oldAddresses: z
      .strictObject({ private: z.array(ipv4).prefault([]), public: z.array(ipv4).prefault([]) })
      .prefault({})
      .describe('addresses of the old machine beside those that the backup’s tags have'),
    timeouts: z
      .strictObject({
        launch: duration({ min: '5s', max: '2h' }).prefault('15m'),
        checks: duration({ min: '5s', max: '4h' }).prefault('30m'),
        agent: duration({ min: '5s', max: '2h' }).prefault('15m'),
      })
      .prefault({}),
    steps: z.array(machineStep).prefault([]).describe('what is done on the new machine, in this order'),
    switch: z.array(hook).prefault([]).describe('when all of it holds: sends the application’s users to it'),
    switchPort: port.prefault(443).describe('${target.port} of the hooks'),
    drill: z
      .boolean()
      .prefault(false)
      .describe('only to prove and to time it: the machine that was made is terminated at the end'),
    output: commandOutput.optional().describe('where SSM puts the whole output of the commands'),
    schedule: schedule.optional(),
    aws: awsSettings.prefault({}),
  })
  .superRefine((file, ctx) => {
    if (file.drill && file.switch.length > 0) {
      ctx.addIssue({ code: 'custom', path: ['switch'], message: 'a drill must not send anybody to its machine' });
    }
    if (file.schedule && !file.drill) {
      ctx.addIssue({
        code: 'custom',
        path: ['schedule'],
        message: 'expected one with drill: true only: each run would make one more machine, and leave it running',
      });
    }
    const names = file.steps.map(({ name }) => name);
    const reserved = [
      'preflight',
      'choose',
      'launch',
      'checks',
      'agent',
      'look-ahead',
      'switch',
      'report',
      'terminate',
    ];
    // A clean-up is three steps: one that has the id of another would pass for done.
    for (const { name, type } of file.steps) {
      if (type === 'clean-up') reserved.push(`list-${name}`, `approve-${name}`);
    }
    for (const [index, name] of names.entries()) {
      if (names.indexOf(name) !== index || reserved.includes(name)) {
        ctx.addIssue({
          code: 'custom',
          path: ['steps', index, 'name'],
          message: `expected a name of its own, and none of ${reserved.join(', ')}`,
        });
      }
    }
  });
export type MachineRestore = z.output<typeof machineRestore>;
