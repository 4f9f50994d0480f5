/** Functional checks after a switch: does the application work on the target? */
import { z } from 'zod';
import { duration, secretRef } from './values.ts';

const shared = {
  name: z.string().min(1).optional(),
  timeout: duration({ min: '1s', max: '1h' }).prefault('1m').describe('tried again until then'),
};

export const httpCheck = z.strictObject({
  ...shared,
  type: z.literal('http'),
  url: z
    .url({ protocol: /^https?$/, error: 'expected an http or https address' })
    .refine((url) => !/^https?:\/\/[^/]*@/.test(url), {
      error: 'expected an address without a password in it; name the secret under headers',
    }),
  method: z.enum(['GET', 'HEAD', 'POST']).default('GET'),
  headers: z.record(z.string(), z.union([z.string(), secretRef])).default({}),
  expectStatus: z.int().min(100).max(599).default(200),
  expectBody: z.string().min(1).optional().describe('a part of the body'),
});

const cell = z.union([z.string(), z.number(), z.boolean(), z.null()]);

/** Runs in a read-only transaction, as the worker's user. */
export const sqlCheck = z.strictObject({
  ...shared,
  type: z.literal('sql'),
  query: z.string().min(1),
  on: z.enum(['target', 'source']).default('target'),
  expect: z
    .union([cell, z.array(z.array(cell))], { error: 'expected a value (of the one row and column), or a list of rows' })
    .describe('compared as text'),
});

export const check = z.discriminatedUnion('type', [httpCheck, sqlCheck], {
  error: 'expected a check with type: http or sql',
});
export type FunctionalCheck = z.output<typeof check>;
