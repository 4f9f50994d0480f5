/**
 * What the fence changed, written on the source itself, so that it can be lifted with nothing but a connection to the
 * source: no Temporal, no worker, no file of ours.
 */
import type { Redis } from 'ioredis';

/** The key, in database 0. It is replicated like any key, and left out of every compare. */
export const FENCE_KEY = 'cutover:fence';

/**
 * A fence is `min-replicas-to-write` beyond reach, and which number beyond reach is the fence's generation: each attempt
 * of a cutover takes a lower one. An attempt that was thought dead and wakes up sees a number that is not its own, and
 * must not promote, nor lift. The record can't serve for this: while the fence is up, no key can be written.
 */
const HIGHEST = 2_147_483_647;
const LOWEST = HIGHEST - 1_000_000;

export function fenceValue(generation: number): number {
  if (!Number.isInteger(generation) || generation < 0 || generation > 1_000_000) {
    throw new RangeError(`fence generation ${generation} is not within 0 to 1,000,000`);
  }
  return HIGHEST - generation;
}

const ATTEMPTS = 1_000;

/** The generation of an activity's attempt within a pass through the critical section; both count from 1. */
export function generationOf(cutover: number, attempt: number): number {
  return cutover * ATTEMPTS + Math.min(attempt, ATTEMPTS - 2);
}

/** The generation of whoever judges a cutover's outcome: above all of its attempts. */
export function judgeGeneration(cutover: number): number {
  return cutover * ATTEMPTS + ATTEMPTS - 1;
}

/** Which pass through the critical section a fence belongs to; undefined where there is no fence. */
export function cutoverOfFence(value: number): number | undefined {
  return isFenceValue(value) ? Math.floor((HIGHEST - value) / ATTEMPTS) : undefined;
}

export function isFenceValue(value: number): boolean {
  return value >= LOWEST;
}

export interface FenceRecord {
  migration: string;
  minReplicasToWrite: number;
  minReplicasMaxLag: number;
  at: string;
  /** The source's run_id: a restart lifts the fence, as CONFIG SET is not kept. */
  runId: string;
  /**
   * Of a cluster: what each primary had, by the node's id; there is one record, on the node that has its slot, and the
   * values above are that node's.
   */
  nodes?: Record<string, FencedNode>;
}

export type FencedNode = Pick<FenceRecord, 'minReplicasToWrite' | 'minReplicasMaxLag' | 'runId'>;

/** The settings' names: `min-slaves-*` before Redis 5. */
export interface FenceSettings {
  toWriteName: string;
  maxLagName: string;
  toWrite: number;
  maxLag: number;
}

/** @throws Error of the server where CONFIG GET is not allowed */
export async function readFenceSettings(redis: Redis): Promise<FenceSettings> {
  const flat = (await redis.config('GET', 'min-*')) as string[] | Record<string, string>;
  const map = Array.isArray(flat) ? pairs(flat) : flat;
  const prefix = 'min-replicas-to-write' in map ? 'min-replicas' : 'min-slaves';
  return {
    toWriteName: `${prefix}-to-write`,
    maxLagName: `${prefix}-max-lag`,
    toWrite: Number(map[`${prefix}-to-write`] ?? Number.NaN),
    maxLag: Number(map[`${prefix}-max-lag`] ?? Number.NaN),
  };
}

function pairs(flat: string[]): Record<string, string> {
  const map: Record<string, string> = {};
  for (let i = 0; i + 1 < flat.length; i += 2) map[flat[i]!] = flat[i + 1]!;
  return map;
}

/** The record, or undefined. Something else under that key is an error: it must not be taken for ours, nor deleted. */
export async function readFenceRecord(redis: Redis): Promise<FenceRecord | undefined> {
  const text = await redis.get(FENCE_KEY);
  if (text === null) return undefined;
  const record = JSON.parse(text) as FenceRecord;
  if (typeof record.migration !== 'string' || typeof record.minReplicasToWrite !== 'number') {
    throw new TypeError(`the key ${FENCE_KEY} holds something that is no fence record`);
  }
  return record;
}
