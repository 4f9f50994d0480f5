/** Every backup that AWS holds, in one list. Changes nothing, so it may run as often as it likes. */
import { Context } from '@temporalio/activity';
import { CancelledFailure } from '@temporalio/common';
import type {
  CatalogueAnswer,
  CatalogueEntry,
  CatalogueRequest,
  CatalogueSystem,
  ListBackupsInput,
} from '../../spec/catalogue.ts';
import { listDynamoDbExports } from '../dynamodb/list-exports.ts';
import { listElastiCacheSnapshots } from '../elasticache/list-snapshots.ts';
import { listMachineBackups } from '../machine/list-backups.ts';
import { redact } from '../secrets/redact.ts';

const LISTS: Record<CatalogueSystem, (input: ListBackupsInput) => Promise<CatalogueEntry[]>> = {
  elasticache: listElastiCacheSnapshots,
  dynamodb: listDynamoDbExports,
  machine: listMachineBackups,
};

/**
 * Asks every system that is wanted, side by side. One that can't be asked is named as unknown with its reason and does
 * not spoil the others; nobody may take its missing list for "there are no backups".
 */
export async function listCatalogue(request: CatalogueRequest): Promise<CatalogueAnswer> {
  const { source, aws } = request;
  const systems = [...new Set(request.systems)];
  const answers = await Promise.all(
    systems.map(async (system) => {
      try {
        return { system, entries: await LISTS[system]({ source, aws }) };
      } catch (error) {
        if (error instanceof CancelledFailure) throw error;
        // An activity's result is kept in the history as its failure is; only failures are cleaned by the worker itself.
        return { system, entries: [], reason: redact(error instanceof Error ? error.message : String(error)) };
      }
    }),
  );
  // A list that was cut short by a cancel is no answer.
  Context.current().cancellationSignal.throwIfAborted();
  return {
    entries: answers.flatMap(({ entries }) => entries).toSorted(newestFirst),
    unknown: answers.flatMap(({ system, reason }) => (reason === undefined ? [] : [{ system, reason }])),
  };
}

/** One without a time has only been begun: it stands before all others. At equal times by id. */
function newestFirst(a: CatalogueEntry, b: CatalogueEntry): number {
  const time = ({ createdAt }: CatalogueEntry) => (createdAt === undefined ? Infinity : Date.parse(createdAt));
  const [left, right] = [time(a), time(b)];
  if (left === right) return a.id < b.id ? -1 : a.id > b.id ? 1 : 0;
  return left > right ? -1 : 1;
}
