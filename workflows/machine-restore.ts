/** A new machine from an image: started, checked, put right step by step, switched to; or, as a drill, timed and ended. */
import type { Chosen } from '../activities/machine/choose-backup.ts';
import type { BegunMachine } from '../activities/machine/terminate.ts';
import type { Launched } from '../activities/machine/launch.ts';
import type { MigrationInput } from '../spec/contract.ts';
import type { MachineRestore } from '../spec/kind-machine-restore.ts';
import type { MigrationStatus } from '../spec/status.ts';
import { activityProxies } from './activity-options.ts';
import { machineRestorePlan, needsAgent } from './machine-restore-plan.ts';
import { runStepsOf } from './machine-restore-steps.ts';
import { keepMachine, keptMachineUndo, switchTo, undoSwitchUndo } from './machine-switch.ts';
import { preflightStep } from './preflight-passed.ts';
import { runIdentity } from './run-identity.ts';
import { conduct, type Run } from './runbook.ts';

export async function machineRestore(input: MigrationInput<MachineRestore>): Promise<MigrationStatus> {
  const runbook = new MachineRestoreRunbook(input);
  return conduct(input, {
    plan: machineRestorePlan(input.migration),
    undo: {
      terminate: (begun: BegunMachine, run) => runbook.terminate(run, begun),
      'keep-machine': keptMachineUndo,
      'undo-hooks': undoSwitchUndo(activityProxies(input), input.migration),
    },
    body: (run) => runbook.run(run),
  });
}

class MachineRestoreRunbook {
  private readonly input: MigrationInput<MachineRestore>;
  private readonly migration: MachineRestore;
  private readonly act: ReturnType<typeof activityProxies>;

  constructor(input: MigrationInput<MachineRestore>) {
    this.input = input;
    this.migration = input.migration;
    this.act = activityProxies(input);
  }

  async run(run: Run): Promise<void> {
    const { migration, act } = this;
    await preflightStep(run, () =>
      act.quick.preflightMachineRestore.executeWithOptions({ summary: 'preflight checks' }, [{ migration }]),
    );
    const chosen = (await run.step(
      'choose',
      () => act.quick.chooseMachineBackup.executeWithOptions({ summary: 'which image' }, [{ migration }]),
      ({ imageId, name, createdAt }) => `${imageId} ${name}, ${createdAt ?? 'of unknown age'}`,
    ))!;
    const machine = (await this.launch(run, chosen))!;
    await this.checks(run, machine);
    await runStepsOf(run, this.input, { ours: this.ours(run), machine, old: chosen.old });
    if (migration.switch.length > 0) {
      await switchTo(run, act, migration, { machine, run: this.ours(run).run });
    }
    await this.report(run, chosen, machine);
    if (migration.drill) {
      await run.step(
        'terminate',
        () => this.terminate(run, { at: Date.now(), instanceId: machine.instanceId }),
        ({ note }) => note,
      );
      run.disarm('machine');
    } else if (migration.switch.length === 0) {
      // It is what this run was for. An abort that comes this late names it.
      keepMachine(run, machine);
    }
  }

  private ours(run: Run) {
    const { migrationId, run: id } = runIdentity(this.input, run);
    return { migrationId, run: id, aws: this.migration.aws };
  }

  private launch(run: Run, chosen: Chosen): Promise<Launched | undefined> {
    const { act, migration } = this;
    return run.step(
      'launch',
      async () => {
        const ours = this.ours(run);
        const attempt = run.board.step('launch').tries;
        const begun = (instanceId?: string) => {
          const arg: BegunMachine = { at: Date.now(), ...(instanceId ? { instanceId } : {}) };
          run.arm({ id: 'machine', undo: 'terminate', arg, title: 'the machine that was made' });
        };
        begun();
        // Again at its end: where it failed, its last attempt may have made one until then, and nobody has heard of it.
        const { instanceId } = await act.quick.launchMachine
          .executeWithOptions({ summary: `RunInstances from ${chosen.imageId}` }, [
            { ours, chosen, attempt, migration },
          ])
          .finally(() => begun());
        begun(instanceId);
        return act.wait.awaitMachineRunning.executeWithOptions({ summary: `until ${instanceId} runs` }, [
          { ours, instanceId, migration },
        ]);
      },
      ({ instanceId, privateIp, publicIp }) => `${instanceId}, ${privateIp}${publicIp ? `, ${publicIp}` : ''}`,
    );
  }

  private async checks(run: Run, { instanceId }: Launched): Promise<void> {
    const { act, migration } = this;
    const { checks, agent } = migration.timeouts;
    await run.step(
      'checks',
      () =>
        act.wait.awaitMachineChecks.executeWithOptions({ summary: 'until its checks are good' }, [
          { ours: this.ours(run), instanceId, timeoutMs: checks },
        ]),
      ({ note }) => note,
    );
    if (!needsAgent(migration)) return;
    await run.step(
      'agent',
      () =>
        act.wait.awaitMachineAgent.executeWithOptions({ summary: 'until SSM reaches it' }, [
          { ours: this.ours(run), instanceId, timeoutMs: agent },
        ]),
      ({ status }) => status,
    );
  }

  private async report(run: Run, chosen: Chosen, machine: Launched): Promise<void> {
    await run.step('report', async () => {
      const times = run.status.steps.flatMap(({ id, startedAt, endedAt }) =>
        startedAt && endedAt ? [{ step: id, seconds: (Date.parse(endedAt) - Date.parse(startedAt)) / 1000 }] : [],
      );
      const began = Date.parse(run.board.step('launch').startedAt!);
      const skipped = run.status.steps.filter(({ state }) => state === 'skipped').map(({ id }) => id);
      const result = {
        ...machine,
        image: chosen.imageId,
        backup: chosen.name,
        backupCreatedAt: chosen.createdAt,
        consistency: chosen.consistency ?? 'not known',
        /** From RunInstances to the last proof, with what the operator took. */
        recoverySeconds: (Date.now() - began) / 1000,
        times,
        ...(skipped.length > 0 ? { skipped } : {}),
      };
      run.board.update((status) => {
        status.report['restore'] = result;
      });
      if (skipped.length > 0) run.board.warn(`skipped, so neither done nor proven: ${skipped.join(', ')}`);
      return result;
    });
  }

  /** For undo and for a drill's end: what this run has made, by its tags, and nothing else. */
  async terminate(run: Run, begun: BegunMachine): Promise<{ note: string }> {
    const { note } = await this.act.wait.terminateMachine.executeWithOptions({ summary: 'terminate what was made' }, [
      { ours: this.ours(run), begun },
    ]);
    return { note };
  }
}
