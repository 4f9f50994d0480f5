/** Who is the authority, and every change of it: what the runbook of `redis-dual-write` does with the control key. */
import { ApplicationFailure } from '@temporalio/workflow';
import type { DualCompareResult } from '../activities/redis/dual-write/compare-rounds.ts';
import type { DualProcesses } from '../activities/redis/dual-write/session.ts';
import type { MigrationInput } from '../spec/contract.ts';
import { ErrorType } from '../spec/errors.ts';
import type { RedisDualWrite } from '../spec/kind-redis-dual-write.ts';
import { activityProxies, criticalOptions } from './activity-options.ts';
import type { CriticalSection, Outcome } from './critical-section.ts';
import type { Run } from './runbook.ts';

// Temporal's own limit lies beyond the activity's: the activity ends itself, and knows what it did.
const SLACK_MS = 15_000;
/** For the one call that moves the authority. */
const COMMIT_MS = 3_000;
const JUDGE_MS = 20_000;

/** As in the control key; kept in the status, which outlives continue-as-new. */
export interface KnownPhase {
  epoch: number;
  phase: string;
}

export class DualAuthority {
  private readonly migration: RedisDualWrite;
  private readonly input: MigrationInput;
  private readonly act: ReturnType<typeof activityProxies>;
  /** Of the hold under way. */
  private held = 0;

  constructor(input: MigrationInput<RedisDualWrite>) {
    this.input = input;
    this.migration = input.migration;
    this.act = activityProxies(input);
  }

  /** The epoch that this migration has set last. A later one in the control key is somebody else's. */
  epoch(run: Run): number {
    return (run.status.report['dual'] as KnownPhase | undefined)?.epoch ?? 0;
  }

  /** The processes that were found equal last, for an activity; none where a version before 2026-11-22 compared. */
  compared(run: Run): { compared?: DualProcesses } {
    const processes = (run.status.report['compare'] as DualCompareResult | undefined)?.processes;
    return processes ? { compared: processes } : {};
  }

  /** Compares and repairs until nothing differs. @throws cutover.Differs */
  async compare(run: Run, authority: 'source' | 'target' = 'source'): Promise<DualCompareResult> {
    const { migration } = this;
    const result = await this.act.copy.compareDual.executeWithOptions({ summary: 'compare and repair' }, [
      { migration, epoch: this.epoch(run), ...(authority === 'source' ? {} : { authority }) },
    ]);
    const { compared: before } = this.compared(run);
    run.board.update((status) => {
      // Where differences were left, the processes that were found equal are still those of before.
      status.report['compare'] = result.equal || !before ? result : { ...result, processes: before };
    });
    if (!result.equal) throw stillDiffers(result, migration.id);
    return result;
  }

  private know(run: Run, { epoch, phase }: KnownPhase): void {
    run.board.update((status) => {
      status.report['dual'] = { epoch, phase };
    });
  }

  async begin(run: Run): Promise<void> {
    const known = await this.act.quick.beginDualWrite.executeWithOptions({ summary: 'phase both' }, [
      { migration: this.migration },
    ]);
    this.know(run, known);
  }

  /** Until every instance follows the phase that was set last. @throws cutover.Deadline naming the ones that do not */
  acknowledged(run: Run): Promise<{ instances: number }> {
    const { migration } = this;
    return this.act.watch.awaitDualAcks.executeWithOptions({ summary: 'every instance acknowledges the phase' }, [
      { migration, epoch: this.epoch(run) },
    ]);
  }

  section(run: Run): CriticalSection {
    const { migration } = this;
    const { hold, drain } = migration.cutover.budgets;
    const outcome = async (patient: boolean): Promise<Outcome> => {
      const options = { summary: 'what does the control key say?' };
      const given = [{ migration, held: this.held }] as const;
      const known = patient
        ? await this.act.watch.judgeDual.executeWithOptions(options, [...given])
        : await this.act.quick.judgeDual.executeWithOptions({ ...options, scheduleToCloseTimeout: JUDGE_MS }, [
            ...given,
          ]);
      this.know(run, known);
      return known;
    };
    return {
      id: 'cutover',
      fenceUndo: { undo: 'release-hold', arg: null, title: 'the hold of the writes' },
      before: async (section) => {
        section.fenceUp('the instances hold their writes; reads go on');
        const result = await section.phase('hold and drain', hold + drain, () =>
          this.act.quick.holdDual.executeWithOptions(
            { ...criticalOptions(this.input, hold + drain + SLACK_MS), summary: 'hold writes, drain what was touched' },
            [{ migration, epoch: this.epoch(run), commitMs: COMMIT_MS, ...this.compared(run) }],
          ),
        );
        section.attempt.fencedAt = result.fencedAt;
        this.held = result.epoch;
      },
      commit: async (section) => {
        const known = await section.phase('the target becomes the authority', COMMIT_MS, () =>
          this.act.quick.commitDual.executeWithOptions(
            { ...criticalOptions(this.input, COMMIT_MS), summary: 'phase target-first, guarded' },
            [{ migration, held: this.held }],
          ),
        );
        this.know(run, known);
      },
      outcome,
      // The truth is in one key on the source. Where that can't be read, no instance can either, and none writes.
      giveUp: async () => {
        await outcome(false);
      },
    };
  }

  /** Lets writes go on at the source, where they were held. */
  async releaseHold(run: Run): Promise<{ note: string }> {
    const { note, ...known } = await this.act.undo.releaseDual.executeWithOptions({ summary: 'writes go on' }, [
      { migration: this.migration },
    ]);
    this.know(run, known);
    return { note };
  }

  /** The target was the authority: writes are held, the source is brought up to date, and is the authority again. */
  async stepBack(run: Run): Promise<{ note: string }> {
    const { hold, drain } = this.migration.cutover.budgets;
    const budget = hold + drain + SLACK_MS;
    const step = () =>
      this.act.quick.stepBackDual.executeWithOptions(
        {
          ...criticalOptions(this.input, budget),
          scheduleToCloseTimeout: 3 * budget,
          summary: 'hold writes, bring the source up to date, phase both',
        },
        [{ migration: this.migration, epoch: this.epoch(run), commitMs: COMMIT_MS, ...this.compared(run) }],
      );
    let { note, compareFirst, ...known } = await step();
    if (compareFirst) {
      // The source has restarted or failed over since: what it lacks is in no journal, and takes longer than a hold may.
      run.board.warn(`before stepping back, the source is compared with the target: ${note}`);
      this.know(run, known);
      await this.compare(run, 'target');
      ({ note, compareFirst, ...known } = await step());
      if (compareFirst) throw notComparable(note);
    }
    this.know(run, known);
    run.opened();
    run.board.update((status) => {
      status.phase = 'aborting';
    });
    return { note };
  }

  async sourceOnly(run: Run): Promise<{ note: string }> {
    const known = await this.act.undo.sourceOnlyDual.executeWithOptions({ summary: 'phase source' }, [
      { migration: this.migration },
    ]);
    this.know(run, known);
    const { instances } = await this.acknowledged(run);
    return { note: `phase source; ${instances} instances write the source alone` };
  }

  async sourceOff(run: Run): Promise<void> {
    const known = await this.act.quick.sourceOffDual.executeWithOptions({ summary: 'phase target' }, [
      { migration: this.migration, epoch: this.epoch(run) },
    ]);
    this.know(run, known);
  }
}

function stillDiffers(result: DualCompareResult, id: string): ApplicationFailure {
  return ApplicationFailure.create({
    type: ErrorType.differs,
    nonRetryable: true,
    message: `${result.rounds} rounds of comparing and repairing found differences again and again, ${result.lastDiffering} of ${result.keys} keys in the last one: something writes past the library`,
    details: [
      {
        remedy: `see examples of the keys: cutover report ${id}; find who writes them without cutover/dual-write (CLIENT LIST), then retry`,
      },
    ],
  });
}

const notComparable = (why: string): ApplicationFailure =>
  ApplicationFailure.create({
    type: ErrorType.differs,
    nonRetryable: true,
    message: why,
    details: [{ remedy: 'it changed again while it was compared: see that it stays up, then retry' }],
  });
