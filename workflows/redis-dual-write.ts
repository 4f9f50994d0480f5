/**
 * Redis → Redis, Valkey or ElastiCache by dual write: for targets that can't be made a replica (AUTH, TLS, cluster mode,
 * another cloud). The application writes both through the library cutover/dual-write, which follows the phase that this
 * runbook sets in a key on the source; who is the authority, and what makes it safe, is in docs/redis-dual-write.md.
 */
import { CancellationScope } from '@temporalio/workflow';
import type { DualReading } from '../activities/redis/dual-write/tend.ts';
import type { MigrationInput } from '../spec/contract.ts';
import type { RedisDualWrite } from '../spec/kind-redis-dual-write.ts';
import { redisCopy, type CopyRedisResult } from '../spec/redis-copy.ts';
import type { MigrationStatus } from '../spec/status.ts';
import { activityProxies } from './activity-options.ts';
import { critical } from './critical-section.ts';
import { gate } from './gate.ts';
import { preflightStep, requireStillReady } from './preflight-passed.ts';
import { DualAuthority } from './redis-dual-write-authority.ts';
import { redisDualWritePlan } from './redis-dual-write-plan.ts';
import { conduct, type Run } from './runbook.ts';

export async function redisDualWrite(input: MigrationInput<RedisDualWrite>): Promise<MigrationStatus> {
  const runbook = new RedisDualWriteRunbook(input);
  const { authority } = runbook;
  return conduct(input, {
    plan: redisDualWritePlan(input.migration),
    undo: {
      'clean-up': () => runbook.cleanUp(),
      'source-only': (_arg, run) => authority.sourceOnly(run),
      'release-hold': (_arg, run) => authority.releaseHold(run),
      'step-back': (_arg, run) => authority.stepBack(run),
    },
    body: (run) => runbook.run(run),
  });
}

class RedisDualWriteRunbook {
  readonly authority: DualAuthority;
  private readonly migration: RedisDualWrite;
  private readonly act: ReturnType<typeof activityProxies>;

  constructor(input: MigrationInput<RedisDualWrite>) {
    this.migration = input.migration;
    this.act = activityProxies(input);
    this.authority = new DualAuthority(input);
  }

  async run(run: Run): Promise<void> {
    const { migration } = this;
    await preflightStep(run, () =>
      this.act.quick.preflightRedisDualWrite.executeWithOptions({ summary: 'preflight checks' }, [{ migration }]),
    );
    await this.both(run);
    await this.backfill(run);
    await this.compare(run);
    while (!run.isDone('cutover')) {
      await this.approveReads(run);
      await this.cutOver(run);
    }
    await this.reads(run);
    if (migration.soak > 0) await this.soak(run);
    if (!run.isDone('source-off')) await this.approveSourceOff(run);
    await this.sourceOff(run);
    await this.report(run);
  }

  private async both(run: Run): Promise<void> {
    await run.step(
      'both',
      async () => {
        run.arm({ id: 'data', undo: 'clean-up', arg: null, title: 'what the migration put on source and target' });
        run.arm({ id: 'phase', undo: 'source-only', arg: null, title: 'the phase both of the application' });
        await this.authority.begin(run);
        return this.authority.acknowledged(run);
      },
      ({ instances }) => `${instances} instances write both`,
    );
  }

  private async backfill(run: Run): Promise<void> {
    await run.step(
      'backfill',
      () => this.copy(run),
      ({ totals }) => `${totals.copied} keys copied, ${totals.kept} were there already`,
    );
  }

  private copy(run: Run): Promise<CopyRedisResult> {
    const { id: migrationId, source, target, backfill } = this.migration;
    // Keys that the application has written meanwhile are newer than what is read here; theirs stay. It writes to the
    // target by now, so that is not empty; whether it was before has been checked by the preflight.
    const copy = { ...redisCopy.parse({}), ...backfill, allowNonEmptyTarget: true };
    return this.whileTended(run, () =>
      this.act.copy.copyRedis.executeWithOptions({ summary: 'copy what was there before' }, [
        { migrationId, source, target, mode: 'keep', copy },
      ]),
    );
  }

  /** Repairs what is touched while `body` goes on; either one's failure ends both. */
  private async whileTended<T>(run: Run, body: () => Promise<T>): Promise<T> {
    const scope = new CancellationScope();
    return scope.run(async () => {
      const tending = this.act.wait.tendDual.executeWithOptions({ summary: 'repair what is touched meanwhile' }, [
        { migration: this.migration, authority: 'source', epoch: this.authority.epoch(run), beside: true },
      ]);
      const working = body();
      try {
        // It only ever ends by a failure.
        return await Promise.race([working, tending as Promise<never>]);
      } finally {
        scope.cancel();
        await Promise.allSettled([working, tending]);
      }
    });
  }

  private async compare(run: Run): Promise<void> {
    await run.step(
      'compare',
      () => this.authority.compare(run),
      ({ rounds, keys, repaired }) =>
        `${keys} keys are equal, ${rounds} rounds; ${repaired} keys were repaired, those touched meanwhile among them`,
    );
  }

  private async approveReads(run: Run): Promise<void> {
    await gate<DualReading>(run, 'approve-reads', {
      title: 'Read from the target, and write it first?',
      opens: this.migration.cutover.gate,
      watch: async (last) => {
        if (last?.compareAgain) {
          run.board.warn(`copied and compared again: ${last.notReady ?? ''}`);
          await this.copy(run);
          await this.authority.compare(run);
        }
        // What it says of other processes closes the gate first, and is mended in the next turn.
        return this.tend(run, 'source', last?.compareAgain ? undefined : last);
      },
    });
  }

  private tend(run: Run, authority: 'source' | 'target', last?: DualReading, until?: number): Promise<DualReading> {
    return this.act.wait.tendDual.executeWithOptions(
      { summary: `instances, and what is touched on the ${authority}` },
      [
        {
          migration: this.migration,
          authority,
          epoch: this.authority.epoch(run),
          ...(last ? { last } : {}),
          ...(until === undefined ? {} : { until }),
          ...(authority === 'source' ? this.authority.compared(run) : {}),
        },
      ],
    );
  }

  private async cutOver(run: Run): Promise<void> {
    const { migration } = this;
    // Armed before it: from the change on, an abort steps back.
    run.arm({ id: 'reads', undo: 'step-back', arg: null, title: 'the authority of the target' });
    const section = this.authority.section(run);
    const switched = await critical(run, {
      ...section,
      before: async (told) => {
        await requireStillReady(run, () =>
          this.act.quick.preflightRedisDualWrite.executeWithOptions({ summary: 'checks before writes are held' }, [
            { migration, cheap: true },
          ]),
        );
        await section.before!(told);
      },
    });
    if (!switched) return;
    // Here the way leads back as well, for as long as the source is kept up to date.
    run.switched = false;
    run.board.update((status) => {
      status.fence = {
        state: 'lifted',
        detail: 'the target is the authority; the source is written second, so that stepping back loses nothing',
      };
    });
  }

  private async reads(run: Run): Promise<void> {
    await run.step(
      'reads',
      () => this.authority.acknowledged(run),
      ({ instances }) => `${instances} instances read and write the target first`,
    );
    run.opened();
  }

  private async soak(run: Run): Promise<void> {
    await run.step('soak', async () => {
      const until = Date.parse(run.board.step('soak').startedAt!) + this.migration.soak;
      await this.tend(run, 'target', undefined, until);
    });
  }

  private async approveSourceOff(run: Run): Promise<void> {
    await gate<DualReading>(run, 'approve-source-off', {
      title: 'Let the source go?',
      opens: this.migration.sourceOff.gate,
      watch: (last) => this.tend(run, 'target', last),
    });
  }

  private async sourceOff(run: Run): Promise<void> {
    await run.step(
      'source-off',
      async () => {
        // Once the call is made the source may miss writes: stepping back would lose them.
        run.switched = true;
        for (const id of ['reads', 'phase', 'data']) run.disarm(id);
        await this.authority.sourceOff(run);
        return this.authority.acknowledged(run);
      },
      ({ instances }) => `${instances} instances use the target alone`,
    );
  }

  private async report(run: Run): Promise<void> {
    const { migration } = this;
    await run.step('report', async () => {
      const { leftovers, ...final } = await this.act.quick.finishDualWrite.executeWithOptions(
        { summary: 'roles and key counts' },
        [{ migration }],
      );
      run.board.update((status) => {
        status.report['final'] = final;
      });
      run.board.leave(...leftovers);
      return final;
    });
  }

  async cleanUp(): Promise<{ leftovers: string[] }> {
    return this.act.undo.cleanUpDual.executeWithOptions({ summary: 'remove what the migration put there' }, [
      { migration: this.migration },
    ]);
  }
}
