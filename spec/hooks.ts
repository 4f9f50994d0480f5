/** Hooks: what is done outside of the databases when a migration switches, each with a timeout and an undo. */
import { z } from 'zod';
import { duration, secretRef } from './values.ts';

const shared = {
  name: z.string().min(1).optional().describe('shown in status and report'),
  timeout: duration({ min: '1s', max: '2h' }).prefault('1m'),
};

/** Runs a program on the worker's machine, without a shell. It may be run twice: after a crash it is run again. */
export const commandHook = z.strictObject({
  ...shared,
  type: z.literal('command'),
  run: z.array(z.string()).min(1).describe('the program and its arguments; no shell, so no quoting'),
  env: z.record(z.string(), z.union([z.string(), secretRef])).default({}),
  undo: z.array(z.string()).min(1).optional(),
});

const httpCall = {
  url: z
    .url({ protocol: /^https?$/, error: 'expected an http or https address' })
    // The address is in the history and on the screen of every operator.
    .refine((url) => !/^https?:\/\/[^/]*@/.test(url), {
      error: 'expected an address without a password in it; name the secret under headers',
    }),
  method: z.enum(['GET', 'POST', 'PUT', 'PATCH', 'DELETE']).default('POST'),
  headers: z.record(z.string(), z.union([z.string(), secretRef])).default({}),
  body: z.unknown().optional().describe('sent as JSON'),
};

/** Calls an address and expects a 2xx answer. A `Idempotency-Key` header lets the receiver see a repeat. */
export const webhookHook = z.strictObject({
  ...shared,
  type: z.literal('webhook'),
  ...httpCall,
  undo: z.strictObject(httpCall).optional(),
});

/** Writes an SSM parameter. The old value is read first and is what undo writes back. SecureString is kept as it is. */
export const ssmParameterHook = z.strictObject({
  ...shared,
  type: z.literal('ssm-parameter'),
  parameter: z.string().min(1),
  value: z.string().describe('${target.host} and ${target.port} are filled in'),
});

/** Deploys an ECS service and waits until it is stable. Undo puts the former task definition and count back. */
export const ecsServiceHook = z.strictObject({
  ...shared,
  type: z.literal('ecs-service'),
  timeout: duration({ min: '1s', max: '2h' }).prefault('15m'),
  cluster: z.string().min(1),
  service: z.string().min(1),
  taskDefinition: z.string().min(1).optional().describe('default: the one it has, deployed anew'),
  desiredCount: z.int().min(0).optional(),
});

export const hook = z.discriminatedUnion('type', [commandHook, webhookHook, ssmParameterHook, ecsServiceHook], {
  error: 'expected a hook with type: command, webhook, ssm-parameter or ecs-service',
});
export type Hook = z.output<typeof hook>;

/** A hook's name for people: the file's, or what it acts on. */
export function hookTitle(h: Hook): string {
  if (h.name) return h.name;
  switch (h.type) {
    case 'command':
      return `command ${h.run[0]}`;
    case 'webhook':
      return `webhook ${h.method} ${new URL(h.url).host}`;
    case 'ssm-parameter':
      return `SSM parameter ${h.parameter}`;
    case 'ecs-service':
      return `ECS service ${h.service}`;
  }
}
