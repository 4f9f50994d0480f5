/** Every backup that AWS holds, as the workers see it; and whether each source has one that is fresh enough. */
import { randomUUID } from 'node:crypto';
import { WorkflowFailedError, type Client } from '@temporalio/client';
import {
  catalogueRequest,
  CATALOGUE_SYSTEMS,
  CATALOGUE_WORKFLOW,
  type CatalogueAnswer,
  type CatalogueEntry,
  type CatalogueSystem,
} from '../spec/catalogue.ts';
import { reasonOf } from '../workflows/failure-reason.ts';
import { Failed } from './errors.ts';
import { call, grpcError, Grpc } from './grpc-failure.ts';
import { defaultTaskQueue } from './task-queue.ts';
import { expectWorker } from './workers.ts';

export interface CatalogueOptions {
  /** Default: all. */
  systems?: readonly CatalogueSystem[] | undefined;
  /** A replication group, a table, an instance. */
  source?: string | undefined;
  /** Default: the workers' own. */
  region?: string | undefined;
  taskQueue?: string | undefined;
  /** Default: 5 minutes. */
  timeoutMs?: number | undefined;
}

/**
 * Newest first. A system that can't be asked is in `unknown`: its backups are missing from the list, not gone.
 * @throws NoWorker, Unreachable; Failed where nothing could be asked at all
 */
export async function catalogue(client: Client, options: CatalogueOptions = {}): Promise<CatalogueAnswer> {
  const { systems = CATALOGUE_SYSTEMS, source, region, taskQueue = defaultTaskQueue(), timeoutMs = 300_000 } = options;
  const request = catalogueRequest.parse({
    systems: [...systems],
    ...(source === undefined ? {} : { source }),
    aws: region === undefined ? {} : { region },
  });
  await expectWorker(client, taskQueue);
  const workflow = await call(client, 15_000, () =>
    client.workflow.start(CATALOGUE_WORKFLOW, {
      workflowId: `catalogue-${randomUUID()}`,
      taskQueue,
      args: [request],
      workflowRunTimeout: timeoutMs,
      staticSummary: `backups of ${source ?? 'every source'}: ${systems.join(', ')}`,
    }),
  );
  try {
    // The run's own timeout ends it first, with a better word.
    return (await client.withDeadline(Date.now() + timeoutMs + 10_000, () => workflow.result())) as CatalogueAnswer;
  } catch (error) {
    if (error instanceof WorkflowFailedError)
      throw new Failed(`the backups could not be listed: ${reasonOf(error.cause ?? error).message}`, { cause: error });
    if (grpcError(error)?.code === Grpc.DEADLINE_EXCEEDED)
      throw new Failed(`the backups were not listed within ${timeoutMs / 1000} s`, { cause: error });
    throw error;
  }
}

/** A source whose newest complete backup is too old, or that has none. */
export interface StaleSource {
  system?: CatalogueSystem;
  source: string;
  /** The newest complete one; absent where there is none. */
  newest?: { id: string; at: string };
}

/**
 * The sources that have no complete backup younger than `maxAgeMs`. The age is that of the DATA: of the point in time
 * that an export holds, not of when it was written. Where `source` is asked for and not in the list at all, and where the
 * list is empty, that is stale too: monitoring must not be content with nothing.
 */
export function staleSources(
  entries: readonly CatalogueEntry[],
  maxAgeMs: number,
  { source, now = Date.now() }: { source?: string | undefined; now?: number } = {},
): StaleSource[] {
  if (entries.length === 0) return [{ source: source ?? 'every source' }];
  const sources = new Map<string, CatalogueEntry[]>();
  for (const entry of entries) {
    const key = `${entry.system} ${entry.source}`;
    sources.set(key, [...(sources.get(key) ?? []), entry]);
  }
  return [...sources.values()].flatMap((of): StaleSource[] => {
    const { system, source: name } = of[0]!;
    const complete = of
      .filter((entry) => entry.complete && ageAt(entry) !== undefined)
      .toSorted((a, b) => Date.parse(ageAt(b)!) - Date.parse(ageAt(a)!));
    const newest = complete[0];
    if (!newest) return [{ system, source: name }];
    const at = ageAt(newest)!;
    return now - Date.parse(at) <= maxAgeMs ? [] : [{ system, source: name, newest: { id: newest.id, at } }];
  });
}

/** From when its data is. ISO. */
export const ageAt = ({ asOf, createdAt }: CatalogueEntry) => asOf ?? createdAt;
