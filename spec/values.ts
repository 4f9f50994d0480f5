/** The small values that every kind of migration file is made of: durations, sizes, secrets, endpoints. */
import ms, { type StringValue } from 'ms';
import { z } from 'zod';

const DURATION_FORM = 'a duration such as 500ms, 30s, 10m, 2h or 7d';

function milliseconds(text: string): number | undefined {
  const value = /^\d+(\.\d+)?\s*(ms|s|m|h|d)$/.test(text) ? ms(text as StringValue) : undefined;
  return value === undefined || Number.isNaN(value) ? undefined : value;
}

/**
 * A duration as an operator writes it (`30s`), as milliseconds once parsed.
 * A bare number is refused: nobody can tell seconds from milliseconds in a runbook at night.
 */
export function duration(limits: { min?: string; max?: string } = {}) {
  const min = limits.min === undefined ? 0 : milliseconds(limits.min)!;
  const max = limits.max === undefined ? Number.MAX_SAFE_INTEGER : milliseconds(limits.max)!;
  return z
    .string(`expected ${DURATION_FORM}`)
    .meta({ description: DURATION_FORM, examples: ['500ms', '30s', '10m', '2h', '7d'] })
    .transform((text, ctx) => {
      const value = milliseconds(text);
      if (value === undefined) {
        ctx.addIssue({ code: 'custom', message: `expected ${DURATION_FORM}` });
        return z.NEVER;
      }
      if (value < min || value > max) {
        const range = [limits.min && `at least ${limits.min}`, limits.max && `at most ${limits.max}`];
        ctx.addIssue({ code: 'custom', message: `expected ${range.filter(Boolean).join(' and ')}` });
        return z.NEVER;
      }
      return value;
    });
}

const region = z
  .string()
  .regex(/^[a-z]{2}(-[a-z]+)+-\d$/, { error: 'expected a region such as ap-northeast-1' })
  .describe("default: the worker's AWS_REGION or profile");

const SECRET_FORM =
  'the name of a secret, never the secret itself: { env: NAME }, { file: /path }, { ssm: /parameter } or { secretsManager: id }';

/**
 * Where a secret is found. The value itself is never in a file: it is looked up inside the activity that needs it,
 * so that no history, memo, log or heartbeat ever holds it.
 */
export const secretRef = z
  .union(
    [
      z.strictObject({ env: z.string().min(1).describe("a variable in the worker's environment") }),
      z.strictObject({ file: z.string().min(1).describe('a file on the worker; its last newline is dropped') }),
      z.strictObject({
        ssm: z.string().min(1).describe('an SSM parameter, read with decryption'),
        region: region.optional(),
      }),
      z.strictObject({
        secretsManager: z.string().min(1).describe('the name or ARN of a secret in Secrets Manager'),
        key: z.string().min(1).optional().describe('the key, where the secret is a JSON object'),
        region: region.optional(),
      }),
    ],
    { error: `expected ${SECRET_FORM}` },
  )
  .meta({ description: SECRET_FORM, secret: true });
export type SecretRef = z.output<typeof secretRef>;

/** A host name or an IP address. A URL or host:port is refused by name, because both are pasted often. */
export const host = z
  .string('expected a host name or IP address')
  .min(1, { error: 'expected a host name or IP address' })
  .refine((text) => !text.includes('://'), { error: 'expected a host name or IP address alone, not a URL' })
  .refine((text) => !/^[^:]+:\d+$/.test(text), {
    error: 'expected a host name or IP address alone; the port has its own field',
  })
  .refine((text) => /^[A-Za-z0-9._:-]+$/.test(text) || text.includes('://'), {
    error: 'expected a host name or IP address',
  });

export const port = z
  .int({ error: 'expected a port, 1 to 65535' })
  .min(1, { error: 'expected a port, 1 to 65535' })
  .max(65535, { error: 'expected a port, 1 to 65535' });

const tls = z
  .union(
    [
      z.boolean(),
      z.strictObject({
        ca: z.string().optional().describe("a PEM file on the worker with the server's authority"),
        serverName: z.string().optional().describe('the name in the certificate, if it is not the host'),
      }),
    ],
    { error: 'expected true, false or a mapping { ca, serverName }' },
  )
  .default(false);

/** How the worker reaches a Redis or Valkey server. */
export const redisEndpoint = z.strictObject({
  host: host.describe('as the worker reaches it'),
  port: port.default(6379),
  username: z.string().min(1).optional().describe('ACL user; leave out for the default user'),
  password: secretRef.optional(),
  tls,
});
export type RedisEndpoint = z.output<typeof redisEndpoint>;

/** How the worker reaches a Postgres database. */
export const postgresEndpoint = z.strictObject({
  host: host.describe('as the worker reaches it'),
  port: port.default(5432),
  database: z.string().min(1),
  user: z.string().min(1).describe('not one that the application uses: those are fenced'),
  password: secretRef.optional(),
  tls,
});
export type PostgresEndpoint = z.output<typeof postgresEndpoint>;

/** AWS connection settings. Credentials come from the SDK's own chain on the worker, never from a file. */
export const awsSettings = z.strictObject({
  region: region.optional(),
});
export type AwsSettings = z.output<typeof awsSettings>;

export const replicationGroupId = z
  .string()
  .regex(/^[a-zA-Z](?!.*--)[a-zA-Z0-9-]{0,39}(?<!-)$/, {
    error:
      'expected a replication group id: 1 to 40 letters, digits and single hyphens, a letter first, no hyphen last',
  })
  .transform((id) => id.toLowerCase());
