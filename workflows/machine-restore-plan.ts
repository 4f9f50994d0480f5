/** The plan of `machine-restore`. Pure. */
import type { MachineRestore } from '../spec/kind-machine-restore.ts';
import type { MachineStep } from '../spec/machine-steps.ts';
import { hookTitle } from '../spec/hooks.ts';
import type { Plan, PlannedStep } from '../spec/status.ts';

export function machineRestorePlan(migration: MachineRestore): Plan {
  const { from, drill, steps } = migration;
  const what = fromText(from);
  return {
    kind: migration.kind,
    title: migration.description ?? `${drill ? 'Drill: a' : 'A'} machine from ${what}`,
    summary: `${what} → ${drill ? 'a machine for a drill, terminated at the end' : 'a new machine'}`,
    steps: [
      { id: 'preflight', kind: 'step', title: 'The backup is whole, and a machine can be started from it' },
      { id: 'choose', kind: 'step', title: `Which image: ${what}` },
      {
        id: 'launch',
        kind: 'step',
        title: 'RunInstances, tagged, and wait until it runs',
        undo: `the machine that was made is terminated, its volumes deleted${migration.switch.length > 0 ? '; not once the switch has begun' : ''}`,
      },
      { id: 'checks', kind: 'step', title: 'AWS’s checks of it are good: the system’s and the instance’s' },
      ...(needsAgent(migration) ? [step('agent', 'SSM reaches it')] : []),
      ...steps.flatMap(planned),
      ...(migration.switch.length > 0
        ? [
            step('look-ahead', 'What the hooks will change is looked up, for their undo'),
            {
              ...step('switch', `Switch: ${migration.switch.map(hookTitle).join(', ')}`),
              undo: 'the hooks are undone; the machine stays, for users may have written to it',
            },
          ]
        : []),
      step('report', 'What was restored, and how long it took'),
      ...(drill ? [step('terminate', 'The drill’s machine is terminated, and nothing else')] : []),
    ],
    warnings: [
      'The application on the image starts with the machine, with the old machine’s settings, before any step of this file: have it in a network where that does no harm.',
      ...(drill ? [] : ['The old machine is left as it is: what is to become of it is for you to say.']),
    ],
  };
}

export function needsAgent({ steps }: MachineRestore): boolean {
  return steps.some(({ type }) => type !== 'http');
}

/** The id of the gate before a clean-up. */
export function cleanUpGate({ name }: { name: string }): string {
  return `approve-${name}`;
}

/** The id of the step that looks for what a clean-up is about. */
export function cleanUpList({ name }: { name: string }): string {
  return `list-${name}`;
}

function step(id: string, title: string): PlannedStep {
  return { id, kind: 'step', title };
}

function planned(given: MachineStep): PlannedStep[] {
  const skip = 'what it is for is not done, or not proven';
  if (given.type === 'clean-up') {
    return [
      step(cleanUpList(given), `${given.title}: look for them`),
      { id: cleanUpGate(given), kind: 'gate', title: `${given.title}: these?` },
      { id: given.name, kind: 'step', title: `${given.title}, one by one`, skip: 'the rest is not cleaned up' },
    ];
  }
  return [{ id: given.name, kind: 'step', title: titleOf(given), skip }];
}

function titleOf(given: Exclude<MachineStep, { type: 'clean-up' }>): string {
  switch (given.type) {
    case 'command':
      return `${given.name}, and proof of it`;
    case 'host-name':
      return `The application is configured as ${given.expected}`;
    case 'replace-addresses':
      return `Old addresses replaced by the new ones in ${given.files.join(', ')}`;
    case 'remove':
      return `Remove ${given.paths.join(', ')}`;
    case 'http':
      return `${given.url} answers ${given.expectStatus}`;
    case 'object-storage':
      return 'Objects that are kept on the machine itself are found and named';
  }
}

function fromText(from: MachineRestore['from']): string {
  if ('image' in from) return from.image;
  const { migration, instance } = from.latestOf;
  return `the latest whole image ${migration === undefined ? `of ${instance}` : `by ${migration}`}`;
}
