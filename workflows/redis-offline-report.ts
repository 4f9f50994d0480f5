/** The step `report` of `redis-offline`: what was moved, what was lost, and what is left behind. */
import type { CompareResult } from '../activities/redis/compare/types.ts';
import type { RdbEnd } from '../activities/redis/offline/loss.ts';
import type { RemoveRdbArgs } from '../activities/redis/rdb/args.ts';
import type { RedisOffline } from '../spec/kind-redis-offline.ts';
import type { SavedRdb, UploadedRdb } from '../spec/redis-rdb.ts';
import type { RedisEndpoint } from '../spec/values.ts';
import type { activityProxies } from './activity-options.ts';
import { urlOf } from './redis-offline-rdb.ts';
import type { Run } from './runbook.ts';

type Act = ReturnType<typeof activityProxies>;

export const keysDiffering = ({ missing, extra, typeDiffers, ttlDiffers, valueDiffers }: CompareResult) =>
  missing + extra + typeDiffers + ttlDiffers + valueDiffers;

/** In words, for the operator. */
export function differences(result: CompareResult): string {
  const { keysCompared, missing, extra, typeDiffers, ttlDiffers, valueDiffers, unsettled, uncompared } = result;
  return `of ${keysCompared} keys ${missing} are missing, ${extra} extra, ${typeDiffers} of another type, ${ttlDiffers} of another TTL, ${valueDiffers} of another value; ${unsettled} changed at every reading, ${uncompared} could not be compared`;
}

/** Where the RDB ends: what the source took after that is not in it. */
function endOf(saved: SavedRdb | undefined, { sync, mark }: UploadedRdb): RdbEnd {
  const stream = sync ?? (mark.backlog ? { replid: mark.replid, offset: mark.offset } : undefined);
  return { server: mark.server, savedAt: saved?.savedAt, stream };
}

export async function offlineReport(
  run: Run,
  act: Act,
  migration: RedisOffline,
  given: { target: RedisEndpoint; saved: SavedRdb | undefined; uploaded: UploadedRdb; removal: RemoveRdbArgs },
): Promise<void> {
  const { id: migrationId, source, fence, keepRdb } = migration;
  const { target, saved, uploaded, removal } = given;
  await run.step(
    'report',
    async () => {
      // First of all: each moment more, and more is written.
      const since = fence
        ? undefined
        : await act.quick.writesSinceRdb.executeWithOptions({ summary: 'what was written since the RDB' }, [
            { migrationId, source, end: endOf(saved, uploaded) },
          ]);
      const final = await act.quick.readFinalState.executeWithOptions({ summary: 'roles and key counts' }, [
        { migrationId, source, target },
      ]);
      const { left } = keepRdb
        ? { left: [`the RDB ${urlOf(removal.to)} (keepRdb: true)`] }
        : await act.quick.removeRdb.executeWithOptions({ summary: `delete ${urlOf(removal.to)}` }, [removal]);
      const compared = run.status.report['compare'] as CompareResult | undefined;
      run.board.update((status) => {
        const { bytes, parts, rdb } = uploaded;
        Object.assign(status.report, { rdb: { object: urlOf(removal.to), bytes, parts, version: rdb.version }, final });
        if (!since) return;
        status.report['loss'] = { ...since, ...(compared ? { keysDiffering: keysDiffering(compared) } : {}) };
      });
      run.board.leave(
        ...left,
        fence
          ? 'the old source stays fenced and keeps its data; to let it take writes again: cutover unfence <file>'
          : 'the old source takes writes, which go nowhere: stop it, once nothing writes to it any more',
      );
      return since;
    },
    (since) => since && lossText(since),
  );
}

function lossText({ changes, bytes, unknown }: { changes?: number; bytes?: number; unknown?: string }): string {
  const counted = [
    ...(changes === undefined ? [] : [`${changes} changes`]),
    ...(bytes === undefined ? [] : [`${bytes} bytes of its replication stream`]),
  ];
  return counted.length > 0
    ? `lost: ${counted.join(', ')} that the source took after its RDB was begun`
    : `what was lost is not known: ${unknown ?? 'the source does not tell'}`;
}
