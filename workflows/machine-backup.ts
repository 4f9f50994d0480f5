/** An image of a machine, or snapshots of its volumes: held by the file's commands, taken, let go, waited for, proven. */
import { CancellationScope } from '@temporalio/workflow';
import type { CompleteBackup } from '../activities/machine/await-backup.ts';
import type { BegunBackup } from '../activities/machine/remove-backup.ts';
import type { Taken } from '../activities/machine/take-backup.ts';
import type { MachineFacts } from '../activities/ec2/instance.ts';
import type { MigrationInput } from '../spec/contract.ts';
import type { MachineBackup } from '../spec/kind-machine-backup.ts';
import type { MigrationStatus } from '../spec/status.ts';
import { activityProxies } from './activity-options.ts';
import { consistencyNote, judge, notHeld, type Held } from './machine-backup-consistency.ts';
import { machineBackupPlan } from './machine-backup-plan.ts';
import { preflightStep } from './preflight-passed.ts';
import { nameOfRun, runIdentity } from './run-identity.ts';
import { conduct, type Run } from './runbook.ts';

/** AMI names have at most 128 characters; a try's number comes behind it. */
const LONGEST_NAME = 120;

/** The last one that was taken. In the report, so that it is known over tries and over continue-as-new. */
const held = (run: Run) => run.status.report['taken'] as Held;

export async function machineBackup(input: MigrationInput<MachineBackup>): Promise<MigrationStatus> {
  const runbook = new MachineBackupRunbook(input);
  return conduct(input, {
    plan: machineBackupPlan(input.migration),
    undo: {
      thaw: (arg: { machine: MachineFacts; attempt: number }, run) => runbook.undoFreeze(run, arg),
      'remove-backup': (begun: BegunBackup, run) => runbook.remove(run, begun),
    },
    body: (run) => runbook.run(run),
    afterAbort: async (run) => {
      if (run.isDone('verify')) run.board.leave(`the backup ${held(run).taken.name}: it is complete, and stays`);
    },
  });
}

class MachineBackupRunbook {
  private readonly input: MigrationInput<MachineBackup>;
  private readonly migration: MachineBackup;
  private readonly act: ReturnType<typeof activityProxies>;

  constructor(input: MigrationInput<MachineBackup>) {
    this.input = input;
    this.migration = input.migration;
    this.act = activityProxies(input);
  }

  async run(run: Run): Promise<void> {
    const { migration, act } = this;
    await preflightStep(run, () =>
      act.quick.preflightMachineBackup.executeWithOptions({ summary: 'preflight checks' }, [{ migration }]),
    );
    const machine = (await run.step(
      'look',
      () => act.quick.lookAtMachine.executeWithOptions({ summary: 'the machine as it is' }, [{ migration }]),
      (found) => `${found.id}, ${found.volumes.length} volume(s)`,
    ))!;
    await run.step(
      'take',
      () => this.take(run, machine, `${run.board.step('take').tries}`),
      (made) => `${made.taken.imageId ?? made.taken.snapshotIds?.join(', ')}; ${consistencyNote(made)}`,
    );
    if (migration.before.length > 0) await this.requireHeld(run, machine);
    await this.wait(run, machine);
    await this.verify(run, machine);
    // It is what this run was for, and older ones may go for it now: an abort from here on must not take it back.
    run.disarm('backup');
    if (migration.retention) await this.retain(run, machine);
  }

  private ours(run: Run) {
    const { migrationId, run: id } = runIdentity(this.input, run);
    return { migrationId, run: id, aws: this.migration.aws };
  }

  /** Freeze, take, thaw: whatever becomes of the first two, the third is done before anything else. */
  private async take(run: Run, machine: MachineFacts, tryName: string): Promise<Held> {
    const { migration, act } = this;
    const ours = this.ours(run);
    // A former try's: what it took is not known to be of any use, and what it held may be held still.
    await run.undoNow('thaw');
    await run.undoNow('backup');
    const attempt = this.attempts(run);
    const name = `${nameOfRun(runIdentity(this.input, run), LONGEST_NAME)}${tryName === '1' ? '' : `-${tryName}`}`;
    const freeze = { ours, instanceId: machine.id, attempt, migration };
    const thaw = () =>
      run.arm({ id: 'thaw', undo: 'thaw', arg: { machine, attempt }, title: `what before did on ${machine.id}` });
    const begun = (imageId?: string) => {
      const arg: BegunBackup = { at: Date.now(), volumes: machine.volumes.length, ...(imageId ? { imageId } : {}) };
      run.arm({ id: 'backup', undo: 'remove-backup', arg, title: `the backup ${name}` });
      // The last of the journal, so the first that an abort undoes.
      if (run.isArmed('thaw')) thaw();
    };
    let frozen = false;
    let thawed = { heldUntilNow: true, note: '' };
    let taken: Taken;
    try {
      if (migration.before.length > 0) {
        if (migration.after.length > 0) thaw();
        await act.wait.freezeMachine.executeWithOptions({ summary: 'before, on the machine' }, [freeze]);
        frozen = true;
      }
      begun();
      // Again at its end: where it failed, its last attempt may have made one until then, and nobody has heard of it.
      taken = await act.quick.takeMachineBackup
        .executeWithOptions({ summary: `begin ${name}` }, [{ ours, name, machine, migration }])
        .finally(() => begun());
      begun(taken.imageId);
    } finally {
      if (run.isArmed('thaw')) {
        thawed = await CancellationScope.nonCancellable(() =>
          act.wait.thawMachine.executeWithOptions({ summary: 'after, on the machine' }, [{ ...freeze, known: frozen }]),
        );
        run.disarm('thaw');
      }
    }
    const made = judge(migration, taken, thawed);
    run.board.update((status) => {
      status.report['taken'] = made;
    });
    return made;
  }

  /** Each freeze is one of its own, also over the tries of several steps. */
  private attempts(run: Run): number {
    return run.status.steps.reduce(
      (all, { id, tries }) => (['take', 'consistent', 'wait'].includes(id) ? all + tries : all),
      0,
    );
  }

  private requireHeld(run: Run, machine: MachineFacts): Promise<Held | undefined> {
    return run.step(
      'consistent',
      async () => {
        const { tries } = run.board.step('consistent');
        const last = tries === 1 ? held(run) : await this.take(run, machine, `c${tries}`);
        if (last.consistency !== 'crash') return last;
        throw notHeld(last);
      },
      consistencyNote,
    );
  }

  private wait(run: Run, machine: MachineFacts): Promise<Held | undefined> {
    const { act, migration } = this;
    return run.step(
      'wait',
      async () => {
        const ours = this.ours(run);
        let last = held(run);
        const { tries } = run.board.step('wait');
        if (tries > 1) {
          const failed = await act.quick.machineBackupFailed.executeWithOptions({ summary: 'did it fail?' }, [
            { ours, taken: last.taken },
          ]);
          if (failed || !this.isAnswered(run)) last = await this.takeAnew(run, machine, `w${tries}`);
        }
        await act.wait.awaitMachineBackup.executeWithOptions({ summary: `until ${last.taken.name} is complete` }, [
          { ours, taken: last.taken, machine, timeoutMs: migration.timeout },
        ]);
        return last;
      },
      ({ taken }) => `${taken.name} is complete`,
    );
  }

  /** False where another one was to be taken, because it was not held, and that has failed. */
  private isAnswered(run: Run): boolean {
    return this.migration.before.length === 0 || ['done', 'skipped'].includes(run.board.step('consistent').state);
  }

  /** For one that has failed. Where this one was not held, the operator is asked as for the first one. */
  private async takeAnew(run: Run, machine: MachineFacts, name: string): Promise<Held> {
    if (this.migration.before.length === 0) return this.take(run, machine, name);
    const { board } = run;
    board.begin('consistent');
    let made = await this.take(run, machine, name);
    while (made.consistency === 'crash') {
      const failure = notHeld(made);
      const choice = await run.park('consistent', failure, ['retry', 'skip', 'abort']);
      if (choice === 'skip') {
        board.end('consistent', 'skipped', `skipped: ${failure.message}`);
        break;
      }
      board.begin('consistent');
      made = await this.take(run, machine, `c${board.step('consistent').tries}`);
    }
    if (made.consistency !== 'crash') run.complete('consistent', made, consistencyNote(made));
    board.begin('wait');
    return made;
  }

  private async verify(run: Run, machine: MachineFacts): Promise<void> {
    const { act, migration } = this;
    await run.step(
      'verify',
      async () => {
        const ours = this.ours(run);
        const { taken, consistency, why } = held(run);
        if (taken.call !== undefined) {
          await act.wait.removeOtherMachineSnapshots.executeWithOptions({ summary: 'no second set' }, [
            { ours, taken },
          ]);
        }
        const backup: CompleteBackup = await act.quick.verifyMachineBackup.executeWithOptions(
          { summary: 'one snapshot for each volume' },
          [{ ours, taken, machine, timeoutMs: migration.timeout }],
        );
        const ids = [...(backup.imageId ? [backup.imageId] : []), ...backup.snapshots.map(({ id }) => id)];
        await act.quick.markMachineBackup.executeWithOptions({ summary: `consistency: ${consistency}` }, [
          { ours, ids, consistency },
        ]);
        run.board.update((status) => {
          status.report['backup'] = { ...backup, instance: machine.id, consistency, ...(why ? { why } : {}) };
        });
        return backup;
      },
      (backup) => `${backup.snapshots.length} snapshot(s), ${backup.sizeGiB} GiB; ${consistencyNote(held(run))}`,
    );
  }

  private async retain(run: Run, machine: MachineFacts): Promise<void> {
    await run.step(
      'retention',
      async () => {
        const done = await this.act.wait.retainMachineBackups.executeWithOptions({ summary: 'older backups' }, [
          { ours: this.ours(run), instanceId: machine.id, policy: this.migration.retention! },
        ]);
        run.board.update((status) => {
          status.report['retention'] = done;
        });
        // Not in what an earlier version recorded.
        for (const warning of done.warnings ?? []) run.board.warn(warning);
        return done;
      },
      ({ kept, deleted }) => `${kept.length} kept, ${deleted.length} deleted`,
    );
  }

  async undoFreeze(
    run: Run,
    { machine, attempt }: { machine: MachineFacts; attempt: number },
  ): Promise<{ note: string }> {
    const { act, migration } = this;
    const { note } = await act.wait.thawMachine.executeWithOptions({ summary: 'after, on the machine' }, [
      { ours: this.ours(run), instanceId: machine.id, attempt, migration, known: false },
    ]);
    return { note };
  }

  async remove(run: Run, begun: BegunBackup): Promise<{ note: string }> {
    return this.act.wait.removeMachineBackup.executeWithOptions({ summary: 'remove the backup' }, [
      { ours: this.ours(run), begun },
    ]);
  }
}
