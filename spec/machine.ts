/** What the two kinds about machines share: which machine is meant, and commands that are run on it by SSM. */
import { z } from 'zod';
import { duration } from './values.ts';

export const instanceId = z
  .string()
  .regex(/^i-([0-9a-f]{8}|[0-9a-f]{17})$/, { error: 'expected an instance id such as i-0123456789abcdef0' });

const tags = z.record(z.string().min(1).max(128), z.string().max(256));

/** One machine: by its id, or by tags that exactly one running or stopped machine has. */
export const instanceSelector = z.union(
  [
    instanceId,
    z.strictObject({
      tags: tags.refine((given) => Object.keys(given).length > 0, { error: 'expected at least one tag' }),
    }),
  ],
  { error: 'expected an instance id such as i-0123456789abcdef0, or { tags: { Name: … } } that one machine has' },
);
export type InstanceSelector = z.output<typeof instanceSelector>;

/** A name that is also a step's id. */
export const commandName = z.string().regex(/^[a-z](?:[a-z0-9-]{0,28}[a-z0-9])?$/, {
  error: 'expected 1 to 30 lower-case letters, digits and hyphens, a letter first',
});

/** No secret belongs in here: SSM keeps what it is sent. A script reads its secrets on the machine. */
export const script = z
  .string()
  .min(1)
  .max(30_000)
  .describe(
    'a shell script; run by bash as root on the machine. It may be run twice. No secrets: SSM keeps it, and Temporal what it printed last where it fails. In a restore ${machine.privateIp} and ${machine.publicIp} are filled in',
  );

export const shortTimeout = duration({ min: '1s', max: '1h' });

export const machineCommand = z.strictObject({
  name: commandName,
  run: script,
  timeout: shortTimeout.prefault('30s').describe('it is ended after so long, and has failed'),
});
export type MachineCommand = z.output<typeof machineCommand>;

/** Where SSM puts the whole output; it keeps 24,000 characters itself. */
export const commandOutput = z.strictObject({
  bucket: z.string().min(3),
  prefix: z.string().optional(),
});
export type CommandOutput = z.output<typeof commandOutput>;

export const extraTags = tags
  .refine((given) => Object.keys(given).every((key) => !/^(cutover|aws):/i.test(key)), {
    error: 'expected tags that do not begin with cutover: or aws:',
  })
  .prefault({});

/** The instance as people name it. */
export function selectorText(selector: InstanceSelector): string {
  if (typeof selector === 'string') return selector;
  return `the machine with ${Object.entries(selector.tags)
    .map(([key, value]) => `${key}=${value}`)
    .join(', ')}`;
}
