/** What `cutover snapshots` lists: every backup that AWS holds, of whatever system, in one form. */
import { z } from 'zod';

export const CATALOGUE_SYSTEMS = ['elasticache', 'dynamodb', 'machine'] as const;
export type CatalogueSystem = (typeof CATALOGUE_SYSTEMS)[number];

export interface CatalogueEntry {
  system: CatalogueSystem;
  type: 'snapshot' | 'export' | 'image' | 'volume-snapshots';
  /** As AWS knows it: a snapshot's name, an export's ARN, an image's id, the snapshot set's run. */
  id: string;
  name: string;
  /** The replication group, the table, the instance. */
  source: string;
  /** ISO; absent while it is not known. */
  createdAt?: string;
  /** What it holds a copy of; for an export its point in time. */
  asOf?: string;
  sizeBytes?: number;
  /** AWS's own word. */
  state: string;
  /** True only where all of it is there and can be restored from: every shard, every volume, the manifest. */
  complete: boolean;
  /** Why it is not complete. */
  problem?: string;
  /** Made by AWS's own daily schedule: dies with its cluster. */
  automatic: boolean;
  /** From the tags `cutover:migration` and `cutover:run`; absent where cutover did not make it. */
  madeBy?: { migration: string; run?: string };
}

export const catalogueRequest = z.strictObject({
  systems: z
    .array(z.enum(CATALOGUE_SYSTEMS))
    .min(1)
    .prefault([...CATALOGUE_SYSTEMS]),
  source: z.string().optional(),
  aws: z.strictObject({ region: z.string().optional() }).prefault({}),
});
export type CatalogueRequest = z.output<typeof catalogueRequest>;

export interface CatalogueAnswer {
  entries: CatalogueEntry[];
  /** Systems that could not be asked, with the reason: their backups are missing from the list, not gone. */
  unknown: { system: CatalogueSystem; reason: string }[];
}

/** The workflow that asks, on a worker. */
export const CATALOGUE_WORKFLOW = 'catalogue';

/** What one system is asked for. */
export interface ListBackupsInput {
  source?: string | undefined;
  aws?: { region?: string | undefined } | undefined;
}
