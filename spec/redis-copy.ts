/** How keys are copied between Redis servers without REPLICAOF: by SCAN, and keyspace notifications for what moves. */
import { z } from 'zod';
import { duration } from './values.ts';
import type { RedisEndpoint } from './values.ts';

export const redisCopy = z.strictObject({
  workers: z.int().min(1).max(32).default(4).describe('pages of keys under way at once'),
  scanCount: z.int().min(10).max(5000).default(500).describe('COUNT of each SCAN'),
  maxKeysPerSecond: z.int().min(1).optional().describe('spares a busy source; what is followed is not held back'),
  maxBytesPerSecond: z.int().min(1024).optional().describe('of memory at the source, as MEMORY USAGE counts it'),
  maxLatency: duration({ min: '1ms', max: '1m' })
    .prefault('100ms')
    .describe('above this round trip to a source node the scan rests, until it is below it again'),
  bigKeyBytes: z
    .int()
    .min(65_536)
    .max(67_108_864)
    .default(1_048_576)
    .describe('larger keys are rebuilt page by page into a temporary key; smaller ones go by DUMP and RESTORE'),
  databases: z.array(z.int().min(0)).min(1).optional().describe('default: every database that holds keys'),
  ignore: z.array(z.string()).default([]).describe('glob patterns of keys that are left alone on both sides'),
  olderTarget: z
    .enum(['refuse', 'rebuild'])
    .default('refuse')
    .describe('a target too old for the DUMP of the source: refuse, or rebuild every key by commands of its type'),
  queueKeys: z
    .int()
    .min(100)
    .max(5_000_000)
    .default(200_000)
    .describe('touched keys remembered at most; beyond, their hash slots are compared and copied again'),
  allowNonEmptyTarget: z.boolean().default(false).describe('keys of the target that the source lacks may be deleted'),
});
export type RedisCopy = z.output<typeof redisCopy>;

/**
 * - `replace`: nobody else writes to the target, which is proven first (empty, no writers); what the source has wins.
 * - `keep`: others write to both sides (dual write). A key that the target has is never overwritten (RESTORE without
 *   REPLACE; counted as `kept`). After each RESTORE the source is read again: what is gone there, or has changed, is
 *   deleted or copied again, by WATCH and only if nobody else wrote the key on the target since. A large key
 *   (`bigKeyBytes`) is read page by page; one that moves meanwhile can be torn. So what others touch during the copy
 *   (and only that) has to be found by their journal, or by a compare, and repaired.
 */
export type CopyMode = 'replace' | 'keep';

/** Input of the activity `copyRedis` (copy queue, heartbeats progress and its checkpoint). */
export interface CopyRedisInput {
  migrationId: string;
  source: RedisEndpoint;
  target: RedisEndpoint;
  mode: CopyMode;
  copy: RedisCopy;
}

export interface CopyTotals {
  /** Keys written to the target, each time they were. */
  copied: number;
  /** Of these: rebuilt page by page. */
  rebuilt: number;
  /** Keys deleted on the target because the source had them no more. */
  deleted: number;
  /** Left as the target had them (mode `keep`). */
  kept: number;
  /** Mode `keep`: keys that were changed on the source while they were copied, and were put right. */
  corrected: number;
  /** Mode `keep`: keys that others wrote on the target while they were copied, or that never stood still: not proven. */
  unsettled: number;
  /** Memory at the source of what was copied. */
  bytes: number;
  /** Events of keys that were heard. */
  events: number;
  /** Subscriptions that were lost: each costs a reconciling pass. */
  subscriptionsLost: number;
  /** Events that found the queue full: their slots were compared again. */
  overflowed: number;
  /** Reconciling passes that came to their end. */
  reconciled: number;
  /** How long the scan rested because the source was slow, ms. */
  restedMs: number;
}

export interface CopyNode {
  /** host:port, or the node's id in its cluster. */
  id: string;
  slots: string;
  /** Keys seen by the scan, and all that the node held when it began. */
  keys: number;
  keysTotal: number;
  state: 'scanning' | 'scanned' | 'reconciling' | 'deaf';
}

/** Result of the activity `copyRedis`. */
export interface CopyRedisResult {
  totals: CopyTotals;
  nodes: CopyNode[];
  notes: string[];
  durationMs: number;
}
