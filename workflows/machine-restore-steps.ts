/** The file's steps on the new machine, in order. Each is a step of the runbook; a clean-up has a gate before it. */
import { ApplicationFailure, condition } from '@temporalio/workflow';
import type { StepArgs } from '../activities/machine/step-args.ts';
import type { MigrationInput } from '../spec/contract.ts';
import { ErrorType } from '../spec/errors.ts';
import type { MachineRestore } from '../spec/kind-machine-restore.ts';
import type { MachineStep, StepOf } from '../spec/machine-steps.ts';
import { activityProxies } from './activity-options.ts';
import { reasonOf } from './failure-reason.ts';
import { gate } from './gate.ts';
import { cleanUpGate, cleanUpList } from './machine-restore-plan.ts';
import type { Run } from './runbook.ts';

type Common = Pick<StepArgs, 'ours' | 'machine' | 'old'>;

interface ItemResult {
  item: string;
  done: boolean;
  /** How its command ended, or why it failed. */
  text: string;
}

export async function runStepsOf(run: Run, input: MigrationInput<MachineRestore>, common: Common): Promise<void> {
  for (const step of input.migration.steps) {
    if (step.type === 'clean-up') await cleanUp(run, input, common, step);
    else await oneStep(run, input, common, step);
  }
}

function argsOf<S extends MachineStep>(
  run: Run,
  { migration }: MigrationInput<MachineRestore>,
  common: Common,
  step: S,
) {
  return {
    ...common,
    step,
    attempt: run.board.step(step.name).tries,
    agentTimeoutMs: migration.timeouts.agent,
    output: migration.output,
  };
}

async function oneStep(
  run: Run,
  input: MigrationInput<MachineRestore>,
  common: Common,
  step: MachineStep,
): Promise<void> {
  const act = activityProxies(input);
  await run.step(
    step.name,
    async () => {
      const {
        note,
        details,
        warnings = [],
      } = await act.wait.runMachineStep.executeWithOptions({ summary: step.name }, [argsOf(run, input, common, step)]);
      for (const text of warnings) run.board.warn(text);
      if (details !== undefined) show(run, step.name, details);
      return { note };
    },
    ({ note }) => note,
  );
}

function show(run: Run, name: string, details: unknown): void {
  run.board.update((status) => {
    const steps = (status.report['steps'] ?? {}) as Record<string, unknown>;
    status.report['steps'] = { ...steps, [name]: details };
  });
}

/** What the report says of a clean-up's items so far; it is carried over tries and continue-as-new. */
function resultsOf(run: Run, name: string): ItemResult[] {
  const steps = run.status.report['steps'] as Record<string, { items?: ItemResult[] }> | undefined;
  return steps?.[name]?.items ?? [];
}

async function cleanUp(
  run: Run,
  input: MigrationInput<MachineRestore>,
  common: Common,
  step: StepOf<'clean-up'>,
): Promise<void> {
  const act = activityProxies(input);
  const { items } = (await run.step(
    cleanUpList(step),
    async () => {
      const attempt = run.board.step(cleanUpList(step)).tries;
      const found = await act.wait.listMachineCleanUp.executeWithOptions({ summary: 'what is to be cleaned up' }, [
        { ...argsOf(run, input, common, step), attempt },
      ]);
      show(run, step.name, { items: found.items.map((item) => ({ item, done: false, text: 'found' })) });
      return found;
    },
    (found) => `${found.items.length}: ${found.items.slice(0, 5).join(', ') || 'nothing'}`,
  ))!;
  await approve(run, step, items);
  await run.step(
    step.name,
    () => eachItem(run, input, common, step),
    ({ done }) => `${done} cleaned up`,
  );
}

/** Nobody is asked about nothing. The list stays as it was shown, so nothing is watched meanwhile. */
async function approve(run: Run, step: StepOf<'clean-up'>, items: string[]): Promise<void> {
  const id = cleanUpGate(step);
  if (run.isDone(id)) return;
  if (items.length > 0) {
    await gate(run, id, {
      title: step.title,
      opens: step.gate,
      watch: async (last) => {
        if (last) await condition(() => false);
        return { ready: true, progress: { text: `${items.length}: ${items.slice(0, 5).join(', ')}` } };
      },
    });
  }
  run.complete(id, null, items.length === 0 ? 'there is nothing to clean up' : run.board.step(id).note);
}

/** One after the other; a failure of one does not keep the others from it. A retry does only what is left. */
async function eachItem(
  run: Run,
  input: MigrationInput<MachineRestore>,
  common: Common,
  step: StepOf<'clean-up'>,
): Promise<{ done: number }> {
  const act = activityProxies(input);
  const items = resultsOf(run, step.name).map((entry) => ({ ...entry }));
  for (const [index, entry] of items.entries()) {
    if (entry.done) continue;
    run.progress({ text: entry.item, done: index, total: items.length });
    try {
      await act.wait.cleanUpMachineItem.executeWithOptions({ summary: entry.item.slice(0, 200) }, [
        { ...argsOf(run, input, common, step), item: entry.item, index },
      ]);
      Object.assign(entry, { done: true, text: step.verify === undefined ? 'exit code 0' : 'exit code 0, proven' });
    } catch (error) {
      const { type, message } = reasonOf(error);
      if (type !== ErrorType.serviceFailed) throw error;
      Object.assign(entry, { text: message });
    }
    show(run, step.name, { items });
  }
  const failed = items.filter(({ done }) => !done);
  if (failed.length === 0) return { done: items.length };
  throw ApplicationFailure.create({
    type: ErrorType.serviceFailed,
    nonRetryable: true,
    message: `${failed.length} of ${items.length} are not cleaned up: ${failed.map(({ item, text }) => `${item} (${text})`).join('; ')}`,
    details: [{ remedy: 'retry does only these; skip leaves them as they are' }],
  });
}
