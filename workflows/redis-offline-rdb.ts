/** The RDB of `redis-offline`: saved, uploaded, ElastiCache let in; and removed. */
import type { RemoveRdbArgs } from '../activities/redis/rdb/args.ts';
import type { MigrationInput } from '../spec/contract.ts';
import type { RedisOffline } from '../spec/kind-redis-offline.ts';
import { rdbObject, type SavedRdb, type UploadedRdb } from '../spec/redis-rdb.ts';
import { activityProxies } from './activity-options.ts';
import type { OfflineFencing } from './redis-offline-fence.ts';
import type { RunIdentity } from './run-identity.ts';
import type { Run, Undo } from './runbook.ts';

export const urlOf = ({ bucket, key }: { bucket: string; key: string }) => `s3://${bucket}/${key}`;

export class OfflineRdb {
  private readonly migration: RedisOffline;
  private readonly act: ReturnType<typeof activityProxies>;
  private readonly fencing: OfflineFencing;

  constructor(input: MigrationInput<RedisOffline>, fencing: OfflineFencing) {
    this.migration = input.migration;
    this.act = activityProxies(input);
    this.fencing = fencing;
  }

  /** The step `save`. None where the RDB is streamed: the source saves for that by itself. */
  async save(run: Run): Promise<SavedRdb | undefined> {
    const { source, timeout, rdb } = this.migration;
    if (rdb.from.type === 'replication') return undefined;
    return (await run.step(
      'save',
      () =>
        this.fencing.phase(run, 'save', () =>
          this.act.wait.saveRdb.executeWithOptions({ summary: 'BGSAVE' }, [{ source, timeoutMs: timeout }]),
        ),
      ({ keys, tookMs, waitedMs }) =>
        `${total(keys)} keys saved in ${tookMs} ms${waitedMs > 0 ? `, after ${waitedMs} ms for a save that was under way` : ''}`,
    ))!;
  }

  /** How what this run put into S3 is removed. */
  removal({ migrationId, run }: RunIdentity, saved: SavedRdb | undefined): RemoveRdbArgs {
    const { s3, rdb, aws } = this.migration;
    const ours = { migrationId, run, aws };
    return { ours, to: rdbObject(s3, ours), from: rdb.from, ...(saved ? { saved } : {}) };
  }

  /** The step `upload`. */
  async upload(run: Run, identity: RunIdentity, saved: SavedRdb | undefined): Promise<UploadedRdb> {
    const { source, rdb, timeout, keepRdb } = this.migration;
    const removal = this.removal(identity, saved);
    const title = `the RDB ${urlOf(removal.to)}`;
    const uploaded = (await run.step(
      'upload',
      async () => {
        this.fencing.armUnder(run, { id: 'rdb', undo: 'remove-rdb', arg: removal, title });
        const { ours, to } = removal;
        const attempt = run.board.step('upload').tries;
        return this.fencing.phase(run, 'upload', () =>
          this.act.copy.uploadRdb.executeWithOptions({ summary: `to ${urlOf(to)}` }, [
            { ours, source, from: rdb.from, to, timeoutMs: timeout, attempt, ...(saved ? { saved } : {}) },
          ]),
        );
      },
      ({ bytes, parts, rdb: { magic, version } }) =>
        `${bytes} bytes in ${parts} part(s), a whole RDB (${magic} ${version})`,
    ))!;
    if (keepRdb && run.isArmed('rdb')) {
      this.fencing.armUnder(run, { id: 'rdb', undo: 'keep-rdb', arg: urlOf(removal.to), title });
    }
    return uploaded;
  }

  /** The step `grant`. */
  async grant(run: Run, { migrationId, run: runId }: RunIdentity, to: UploadedRdb): Promise<void> {
    const ours = { migrationId, run: runId, aws: this.migration.aws };
    const { bucket, key, owner } = to;
    await run.step(
      'grant',
      () =>
        this.act.quick.grantRdbRead.executeWithOptions({ summary: urlOf(to) }, [{ ours, to: { bucket, key, owner } }]),
      ({ by }) => (by === 'acl' ? 'by a grant on the object' : 'by the policy of its bucket'),
    );
  }

  /** Registered as `remove-rdb`. */
  async remove(args: RemoveRdbArgs): Promise<{ note: string; leftovers: string[] }> {
    const { left, removed } = await this.act.quick.removeRdb.executeWithOptions({ summary: urlOf(args.to) }, [args]);
    return { note: removed ? `${urlOf(args.to)} is deleted` : `there was no ${urlOf(args.to)}`, leftovers: left };
  }
}

/** Registered as `keep-rdb`. */
export const keptRdbUndo: Undo = (where: string) =>
  Promise.resolve({ note: `${where} stays (keepRdb)`, leftovers: [`the RDB ${where} (keepRdb: true)`] });

const total = (keys: Record<string, number>) => Object.values(keys).reduce((sum, n) => sum + n, 0);
