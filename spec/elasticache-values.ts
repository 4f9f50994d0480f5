/** Values that the ElastiCache kinds share: snapshot names, the daily window, how the worker looks at nodes. */
import { z } from 'zod';
import { secretRef } from './values.ts';

export const snapshotName = z
  .string()
  .regex(/^[a-zA-Z](?!.*--)[a-zA-Z0-9-]{0,39}(?<!-)$/, {
    error: 'expected a snapshot name: 1 to 40 letters, digits and single hyphens, a letter first, no hyphen last',
  })
  .transform((name) => name.toLowerCase());

const WINDOW = 'expected a daily window in UTC of at least an hour, such as 15:00-16:00';

/** Minutes from the first time of `hh:mm-hh:mm` to the second, over midnight where it is. */
function windowMinutes(window: string): number {
  const [h1 = 0, m1 = 0, h2 = 0, m2 = 0] = window.split(/[:-]/).map(Number);
  return (h2 * 60 + m2 - h1 * 60 - m1 + 1440) % 1440;
}

export const dailyWindow = z
  .string()
  .regex(/^([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d$/, { error: WINDOW })
  .refine((window) => windowMinutes(window) >= 60, { error: WINDOW });

/** How the worker signs on to the nodes of a group, to look at them. */
export const nodeAccess = {
  username: z.string().min(1).optional().describe('ACL user; leave out for the default user'),
  password: secretRef.optional().describe("of the ACL user, or the group's auth token"),
  ca: z.string().optional().describe("a PEM file on the worker with the nodes' authority; default: the system's"),
};
