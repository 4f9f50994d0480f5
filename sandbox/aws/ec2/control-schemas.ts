import { z } from 'zod';

const times = z.int().min(1).default(1);
const instanceId = z.string().regex(/^i-[0-9a-f]+$/);
const path = z.string().startsWith('/');
const content = z.union([z.string(), z.strictObject({ content: z.string(), mode: z.int().min(0).max(0o7777) })]);

/** Over HTTP: `POST /_sandbox/machines/<command>`. */
export const MACHINES_SCHEMAS = {
  /** A running machine with these files, as if somebody had set it up. */
  create: z.strictObject({
    name: z.string().min(1),
    tags: z.record(z.string(), z.string()).default({}),
    /** By absolute path. A mode makes a script executable: 0o755. */
    files: z.record(path, content).default({}),
    /** Beside the root volume. */
    volumes: z
      .array(z.strictObject({ mount: path, device: z.string().optional(), size: z.int().min(1).default(8) }))
      .default([]),
    /** GiB of the root volume. */
    size: z.int().min(1).default(8),
    /** In 127.0.0.0/8; unused ones by default. */
    privateIp: z.ipv4().startsWith('127.').optional(),
    publicIp: z.ipv4().startsWith('127.').optional(),
    instanceType: z.string().default('t3.large'),
    subnetId: z.string().optional(),
    securityGroupIds: z.array(z.string()).optional(),
    keyName: z.string().optional(),
    /** Name of an instance profile. */
    profile: z.string().optional(),
  }),
  /** The next images fail: state `failed` with this as StateReason. */
  failImages: z.strictObject({
    code: z.string().default('Server.InternalError'),
    message: z.string().default('Failed by the sandbox’s script.'),
    times,
  }),
  /** The next snapshots of volumes fail, those of images too: state `error` with this as StateMessage. */
  failSnapshots: z.strictObject({ message: z.string().default('Failed by the sandbox’s script.'), times }),
  /** The next images are not found by any call for so long. */
  hideImages: z.strictObject({ ms: z.number().min(0), times }),
  /** Those that are hidden are found from now on. */
  showImages: z.strictObject({}),
  /** The next commands never reach their machine, and end with this as StatusDetails. */
  loseCommands: z.strictObject({
    details: z.enum(['Undeliverable', 'Terminated', 'Delivery Timed Out']).default('Undeliverable'),
    times,
  }),
  /** What a machine's checks show; without `instanceId`, of the next machine that is made. */
  check: z.strictObject({
    instanceId: instanceId.optional(),
    system: z.enum(['ok', 'impaired']).default('ok'),
    instance: z.enum(['ok', 'impaired']).default('ok'),
  }),
  /** What SSM sees of a machine: online, lost (it was there once), none. Without `instanceId`, of the next machine that is made. */
  agent: z.strictObject({
    instanceId: instanceId.optional(),
    status: z.enum(['online', 'lost', 'none']).default('online'),
    /** From `running` until it is there. */
    afterMs: z.number().min(0).default(0),
  }),
} as const;
