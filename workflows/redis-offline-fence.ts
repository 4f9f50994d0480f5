/**
 * The fence of `redis-offline`. It stands from before the save to the switch, for minutes or hours, so this is no critical
 * section: steps park as elsewhere, and the journal is what lifts it.
 */
import type { OfflineFence } from '../activities/redis/offline/fence.ts';
import type { JournalEntry, MigrationInput } from '../spec/contract.ts';
import { ErrorType } from '../spec/errors.ts';
import type { RedisOffline } from '../spec/kind-redis-offline.ts';
import type { CutoverAttempt } from '../spec/status.ts';
import { activityProxies, criticalOptions } from './activity-options.ts';
import { now } from './board.ts';
import { reasonOf } from './failure-reason.ts';
import type { Run } from './runbook.ts';

/** An attempt begins to act within this, or is given up, ms. */
const FENCE_MS = 10_000;
const SLACK_MS = 15_000;

const ENTRY: JournalEntry = { id: 'fence', undo: 'lift-fence', arg: null, title: 'the fence on the source' };

export class OfflineFencing {
  private readonly input: MigrationInput<RedisOffline>;
  private readonly act: ReturnType<typeof activityProxies>;

  constructor(input: MigrationInput<RedisOffline>) {
    this.input = input;
    this.act = activityProxies(input);
  }

  private get source() {
    const { id: migrationId, source } = this.input.migration;
    return { migrationId, source };
  }

  /** The step `fence`. @param before looked at right before it */
  async raise(run: Run, before: () => Promise<void>): Promise<OfflineFence> {
    return (await run.step(
      'fence',
      async () => {
        await before();
        run.arm(ENTRY);
        const fence = await this.act.quick.fenceSource.executeWithOptions(
          { ...criticalOptions(this.input, FENCE_MS + SLACK_MS, FENCE_MS), summary: 'fence the source' },
          [{ ...this.source, withinMs: FENCE_MS }],
        );
        const since = new Date(fence.fencedAt).toISOString();
        run.board.update((status) => {
          status.fence = { state: 'up', since, detail: 'the source refuses writes, until the switch or an abort' };
          const [attempt] = status.cutovers;
          if (attempt) attempt.fencedAt = fence.fencedAt;
          else {
            const fresh: CutoverAttempt = {
              number: 1,
              startedAt: now(),
              outcome: 'under-way',
              phases: [],
              fencedAt: fence.fencedAt,
            };
            status.cutovers.push(fresh);
          }
        });
        return fence;
      },
      ({ fencedAt }) => `writes are refused since ${new Date(fencedAt).toISOString()}`,
    ))!;
  }

  /** Arms what a step makes. The journal runs backwards, and an application must not wait for AWS to delete a group. */
  armUnder(run: Run, entry: JournalEntry): void {
    run.arm(entry);
    if (run.isArmed(ENTRY.id)) run.arm(ENTRY);
  }

  /** Measures a part of the time in which writes are refused. */
  async phase<T>(run: Run, name: string, body: () => Promise<T>): Promise<T> {
    const began = Date.now();
    const value = await body();
    run.board.update(({ cutovers: [attempt] }) => attempt?.phases.push({ name, ms: Date.now() - began }));
    return value;
  }

  /** @throws cutover.Replication where it fell */
  async require(fence: OfflineFence): Promise<void> {
    await this.act.quick.requireFence.executeWithOptions({ summary: 'does the fence stand?' }, [
      { ...this.source, runId: fence.runId },
    ]);
  }

  /** The switch has begun: the fence stays. */
  keep(run: Run): void {
    run.disarm(ENTRY.id);
    run.board.update((status) => {
      const [attempt] = status.cutovers;
      if (!attempt) return;
      attempt.outcome = 'switched';
      status.fence = {
        ...status.fence,
        state: 'kept',
        detail:
          'the application is sent to the new group; the old source refuses writes, so that a straggler gets an error and loses nothing',
      };
    });
  }

  /** The hooks are through: applications can write again. */
  opened(run: Run): void {
    run.board.update(({ cutovers: [attempt] }) => {
      if (!attempt) return;
      attempt.endedAt = now();
      if (attempt.fencedAt !== undefined) attempt.writePauseMs = Date.now() - attempt.fencedAt;
    });
  }

  /** Registered as `lift-fence`. */
  async lift(run: Run): Promise<{ note: string }> {
    try {
      const { detail } = await this.act.undo.liftSourceFence.executeWithOptions({ summary: 'lift the fence' }, [
        this.source,
      ]);
      run.board.update((status) => {
        status.fence = { ...status.fence, state: 'lifted', detail };
        const [attempt] = status.cutovers;
        if (!attempt) return;
        Object.assign(attempt, { outcome: 'undone', endedAt: now(), reason: 'aborted' });
        if (attempt.fencedAt !== undefined) attempt.writePauseMs = Date.now() - attempt.fencedAt;
      });
      return { note: detail };
    } catch (error) {
      const { type, message } = reasonOf(error);
      if (type !== ErrorType.notOurs) throw error;
      // Ours is not up then, and another migration's must stay.
      return { note: `left alone: ${message}` };
    }
  }

  /** After an abort, where a fence had been begun. */
  async proveWritable(run: Run): Promise<void> {
    if (!run.isArmed(ENTRY.id)) return;
    await this.act.undo.proveSourceWritable.executeWithOptions({ summary: 'the source takes writes' }, [this.source]);
  }
}
