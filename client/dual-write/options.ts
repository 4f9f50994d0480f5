import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import type { Cluster, Redis, RedisOptions } from 'ioredis';
import { assertDualId } from '../../spec/dual-write.ts';

/**
 * `fail`: the application gets an error that says that the authority has the write. `queue`: tried again in order, in the
 * background; the application does not wait for the second side at all. `record`: left to the repair, which the journal
 * tells. In all three the journal has the key before the write takes place.
 */
export type SecondWritePolicy = 'fail' | 'queue' | 'record';

/** A client is a pattern only: the library makes connections of its own from its options, and never ends the client. */
export type Server = Redis | Cluster | RedisOptions;

export interface DualWriteOptions {
  /** The same as in the migration's file. */
  id: string;
  source: Server;
  target: Server;
  /** Names this process in acknowledgements; must be unique among those that live. Default: host, pid, and four random bytes. */
  instance?: string;
  /** Default: record. */
  secondWrite?: SecondWritePolicy;
  /** Writes that may wait while there is a hold, or before the first look at the phase; more are refused. Default 10,000. */
  maxHeld?: number;
  /** How long a write may wait so, ms. Default 10,000. */
  maxHoldMs?: number;
  /** Second writes under way or waiting for another try (policy queue); more are left to the repair. Default 10,000. */
  maxQueued?: number;
  /** Values above this (MEMORY USAGE, bytes) are not carried over by DUMP and RESTORE but left to the repair. Default 1 MiB. */
  maxCopyBytes?: number;
}

export type Settings = Required<Omit<DualWriteOptions, 'source' | 'target'>>;

/** @throws RangeError for an id, instance or bound that can't be */
export function settingsOf(options: DualWriteOptions): Settings {
  const settings: Settings = {
    id: options.id,
    instance: options.instance ?? `${safeHost()}-${process.pid}-${randomBytes(4).toString('hex')}`,
    secondWrite: options.secondWrite ?? 'record',
    maxHeld: options.maxHeld ?? 10_000,
    maxHoldMs: options.maxHoldMs ?? 10_000,
    maxQueued: options.maxQueued ?? 10_000,
    maxCopyBytes: options.maxCopyBytes ?? 1_048_576,
  };
  assertDualId(settings.id);
  assertDualId(settings.instance, 'instance');
  for (const name of ['maxHeld', 'maxHoldMs', 'maxQueued', 'maxCopyBytes'] as const) {
    const value = settings[name];
    if (!Number.isSafeInteger(value) || value < 1)
      throw new RangeError(`dual write: ${name} must be a whole number from 1, not ${value}`);
  }
  if (!['fail', 'queue', 'record'].includes(settings.secondWrite)) {
    throw new RangeError(
      `dual write: secondWrite must be fail, queue or record, not ${settings.secondWrite as string}`,
    );
  }
  return settings;
}

const safeHost = (): string => `h-${hostname().replaceAll(/[^A-Za-z0-9.-]/g, '-')}`.slice(0, 100);
