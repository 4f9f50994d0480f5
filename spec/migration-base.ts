/** The fields that every kind of migration has. */
import { z } from 'zod';
import { duration } from './values.ts';

export const migrationBase = {
  id: z
    .string()
    .regex(/^[a-z](?:[a-z0-9-]{0,38}[a-z0-9])?$/, {
      error: 'expected 1 to 40 lower-case letters, digits and hyphens, a letter first, no hyphen last',
    })
    .refine((id) => !id.includes('--'), { error: 'expected single hyphens: AWS refuses names with two in a row' })
    .describe("the migration's name; it is the workflow's id, and resources are named and tagged by it"),
  description: z.string().optional(),
  crashDetection: duration({ min: '2s', max: '10m' })
    .prefault('30s')
    .describe('how long a worker may be silent before another takes over what it was doing'),
};
