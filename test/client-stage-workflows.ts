/**
 * A short migration on the real engine (workflows/runbook.ts), its activities played by the test: what the client and the
 * command line are tested against. Of the same workflow types as the product's, or the client would not know it.
 */
import { proxyActivities } from '@temporalio/workflow';
import type { MigrationInput } from '../spec/contract.ts';
import type { PreflightReport } from '../spec/preflight.ts';
import type { MigrationStatus, Plan } from '../spec/status.ts';
import { gate, type GateReading } from '../workflows/gate.ts';
import { conduct } from '../workflows/runbook.ts';

export interface StageActivities {
  attach(): Promise<string>;
  watch(): Promise<GateReading>;
  finish(): Promise<string>;
  detach(): Promise<string[]>;
  check(): Promise<PreflightReport>;
}

const { attach, watch, finish, detach, check } = proxyActivities<StageActivities>({
  startToCloseTimeout: '10m',
  heartbeatTimeout: '20s',
  cancellationType: 'WAIT_CANCELLATION_COMPLETED',
  retry: { initialInterval: '200ms', maximumInterval: '1s' },
});

const PLAN: Plan = {
  kind: 'redis-online',
  title: 'staged',
  summary: '10.0.0.5:6379 → 10.0.0.6:6379',
  steps: [
    { id: 'attach', kind: 'step', title: 'Attach the target', undo: 'the target is detached' },
    { id: 'cut-over', kind: 'gate', title: 'Cut over' },
    { id: 'finish', kind: 'step', title: 'Finish', skip: 'nothing is proven' },
  ],
  warnings: ['No way back after cut-over.'],
};

export async function redisOnline(input: MigrationInput): Promise<MigrationStatus> {
  return conduct(input, {
    plan: PLAN,
    undo: { detach: async () => ({ leftovers: await detach() }) },
    async body(run) {
      run.arm({ id: 'attach', title: 'detach the target', undo: 'detach', arg: null });
      await run.step('attach', attach, (note) => note);
      await gate(run, 'cut-over', { title: 'Cut over to the target', opens: 'manual', watch });
      await run.step('finish', finish, (note) => note);
    },
  });
}

export async function preflight(_input: MigrationInput): Promise<PreflightReport> {
  return check();
}
