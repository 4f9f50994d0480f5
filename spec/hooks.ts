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

const elbArn = (kind: string, like: string) =>
  z.string().regex(new RegExp(`^arn:[\\w-]+:elasticloadbalancing:[\\w-]*:\\d*:${kind}/\\S+$`), {
    error: `expected an ARN such as arn:aws:elasticloadbalancing:…:${like}`,
  });
const targetGroup = elbArn('targetgroup', 'targetgroup/new/0123456789abcdef');

/**
 * Has a listener's default action, or a rule's, forward to another target group, and waits until its targets are
 * healthy. Undo puts the former action back.
 */
export const elbListenerHook = z
  .strictObject({
    ...shared,
    type: z.literal('elb-listener'),
    timeout: duration({ min: '1s', max: '2h' }).prefault('10m'),
    listener: elbArn('listener', 'listener/app/web/…/…').optional().describe('its default action is changed'),
    rule: elbArn('listener-rule', 'listener-rule/app/web/…/…/…').optional().describe('in place of listener'),
    targetGroup,
    healthy: z.int().min(1).optional().describe('so many healthy targets are enough; default: all that it has'),
  })
  .refine((h) => (h.listener === undefined) !== (h.rule === undefined), {
    error: 'expected listener or rule, one of the two',
  });

/** Takes targets out of a target group, and waits until their connections are drained. Undo registers them again. */
export const elbDeregisterHook = z.strictObject({
  ...shared,
  type: z.literal('elb-deregister'),
  timeout: duration({ min: '1s', max: '2h' }).prefault('10m'),
  targetGroup,
  targets: z
    .array(
      z.strictObject({
        id: z.string().min(1).describe('instance id, IP address, or ARN'),
        port: z.int().min(1).max(65535).optional(),
      }),
    )
    .min(1)
    .optional()
    .describe('default: all that are registered'),
});

export const hook = z.discriminatedUnion(
  'type',
  [commandHook, webhookHook, ssmParameterHook, ecsServiceHook, elbListenerHook, elbDeregisterHook],
  {
    error: 'expected a hook with type: command, webhook, ssm-parameter, ecs-service, elb-listener or elb-deregister',
  },
);
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
    case 'elb-listener':
      return `load balancer to ${targetGroupName(h.targetGroup)}`;
    case 'elb-deregister':
      return `deregister ${h.targets?.map(({ id }) => id).join(', ') ?? 'targets'} of ${targetGroupName(h.targetGroup)}`;
  }
}

/** `new` of `arn:…:targetgroup/new/0123456789abcdef`. */
export function targetGroupName(arn: string): string {
  return arn.split('/')[1] ?? arn;
}
