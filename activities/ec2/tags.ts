/**
 * The tags of what we make on EC2. CreateImage and CreateSnapshots have no client token (facts/redis-aws 3.5), so they
 * are what tells our own half-done call from somebody else's resource; and they are all that a restore has to go by
 * where the machine is gone.
 */
import type { Filter, Tag } from '@aws-sdk/client-ec2';
import { MIGRATION_TAG } from '../elasticache/tags.ts';

export const TAG = {
  migration: MIGRATION_TAG,
  run: 'cutover:run',
  /** The backup's name: of the image, or of the set of snapshots. */
  name: 'cutover:name',
  /** Of one call of CreateSnapshots: its snapshots belong together, and those of another call do not. */
  call: 'cutover:call',
  method: 'cutover:method',
  instance: 'cutover:instance',
  /** How many volumes the machine had: fewer snapshots are no whole backup. */
  volumes: 'cutover:volumes',
  consistency: 'cutover:consistency',
  /** Set before a backup is deleted, so that a deletion that was cut short is ended by the next one. */
  retired: 'cutover:retired',
  privateIp: 'cutover:private-ip',
  publicIp: 'cutover:public-ip',
  type: 'cutover:instance-type',
  subnet: 'cutover:subnet',
  securityGroups: 'cutover:security-groups',
  key: 'cutover:key',
  profile: 'cutover:profile',
  restoredFrom: 'cutover:restored-from',
  purpose: 'cutover:purpose',
} as const;

/** Whose something is. */
export interface Ours {
  migrationId: string;
  /** workflows/run-identity.ts */
  run: string;
  aws?: { region?: string | undefined };
}

export function tagsOf(tags: readonly Tag[] | undefined): Record<string, string> {
  return Object.fromEntries((tags ?? []).flatMap(({ Key, Value }) => (Key === undefined ? [] : [[Key, Value ?? '']])));
}

/** Without those that have no value; AWS allows 256 characters. */
export function tagList(tags: Record<string, string | undefined>): Tag[] {
  return Object.entries(tags).flatMap(([Key, Value]) =>
    Value === undefined || Value === '' ? [] : [{ Key, Value: Value.slice(0, 256) }],
  );
}

export function oursTags({ migrationId, run }: Ours): Record<string, string> {
  return { [TAG.migration]: migrationId, [TAG.run]: run };
}

/** Finds what a run has made. */
export function oursFilters({ migrationId, run }: Ours): Filter[] {
  return [tagFilter(TAG.migration, migrationId), tagFilter(TAG.run, run)];
}

export function tagFilter(key: string, ...values: string[]): Filter {
  return { Name: `tag:${key}`, Values: values };
}

export function isOurs({ migrationId, run }: Ours, tags: readonly Tag[] | undefined): boolean {
  const have = tagsOf(tags);
  return have[TAG.migration] === migrationId && have[TAG.run] === run;
}
