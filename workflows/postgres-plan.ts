/** The plan of `postgres`: what is declared before anything runs. Pure, so that `cutover plan` needs no server. */
import { hookTitle } from '../spec/hooks.ts';
import type { Postgres } from '../spec/kind-postgres.ts';
import type { Plan, PlannedStep } from '../spec/status.ts';
import { gateOpens, seconds } from './plan-text.ts';
import type { ReplicationEngine } from './postgres-replication.ts';

const place = ({ host, port, database }: Postgres['source']) => `${host}:${port}/${database}`;

export function postgresPlan(
  migration: Postgres,
  engine: Pick<ReplicationEngine, 'steps' | 'warnings' | 'reverse'>,
): Plan {
  const [source, target] = [place(migration.source), place(migration.target)];
  const warnings = [...engine.warnings];
  if (!engine.reverse) {
    warnings.push(
      'There is no rollback window: after the first write on the target, going back loses what the target took.',
    );
  }
  if (migration.switch.length === 0) {
    warnings.push(
      'No switch hooks: sending the application to the target is up to you; until it gets there it is down.',
    );
  }
  if (migration.checks.length === 0) warnings.push('No functional checks: nothing decides whether the switch holds.');
  if (migration.cutover.sequences.method === 'max-plus-one') {
    warnings.push('sequences.method: max-plus-one misses sequences that no column owns, and gaps are given out again.');
  }
  return {
    kind: migration.kind,
    title: migration.description ?? `Postgres ${source} to ${target}`,
    summary: `Postgres ${source} → ${target} (${migration.replication.engine})`,
    steps: [...copySteps(migration, engine.steps), ...cutoverSteps(migration), ...lastSteps(migration)],
    warnings,
  };
}

function copySteps(migration: Postgres, engineSteps: PlannedStep[]): PlannedStep[] {
  const { create, afterLoad } = migration.schema;
  return [
    { id: 'preflight', kind: 'step', title: 'Check source, target, roles, network and the replication' },
    { id: 'plan-tables', kind: 'step', title: 'Decide for every table which way it goes' },
    {
      id: 'schema',
      kind: 'step',
      title: create
        ? `Copy the schema${afterLoad.length > 0 ? `, without ${afterLoad.join(', ')}` : ''}`
        : 'Compare the schemas',
      ...(create
        ? {
            undo: migration.abort.dropTargetTables
              ? 'what was created on the target is dropped'
              : 'what was created on the target stays, and is named',
          }
        : {}),
    },
    ...engineSteps,
    { id: 'full-load', kind: 'step', title: 'Full load' },
    ...(afterLoad.length > 0
      ? ([
          { id: 'finish-schema', kind: 'step', title: `Build ${afterLoad.join(', ')}, then follow the changes` },
        ] satisfies PlannedStep[])
      : []),
    { id: 'follow', kind: 'step', title: `Follow until ready (${migration.ready.readings} readings in a row)` },
    {
      id: 'prove-copy',
      kind: 'step',
      title: 'Validate foreign keys, compare what the replication does not prove, ANALYZE',
    },
  ];
}

function cutoverSteps(migration: Postgres): PlannedStep[] {
  const { cutover } = migration;
  const { gate, budgets } = cutover;
  const phases = Object.entries(budgets).map(([name, ms]) => `${name} ${seconds(ms)}`);
  return [
    { id: 'approve-cutover', kind: 'gate', title: `Gate: ${gateOpens(gate)}, while ready` },
    {
      id: 'cutover',
      kind: 'critical',
      title: `Critical section: ${[
        ...cutover.stopServices.map(hookTitle),
        `fence ${cutover.applicationRoles.join(', ')}`,
        'copy by hand',
        'drain',
        'stop the replication',
        'sequences',
        'verify',
        'open the target',
      ].join(', ')} (budget ${seconds(cutover.budget)}: ${phases.join(', ')})`,
      undo: 'the application’s roles may log in again, services are started again, the replication goes on',
      warning: 'the application is down from here until the switch',
    },
    {
      id: 'switch',
      kind: 'step',
      title:
        migration.switch.length > 0
          ? `Switch: ${migration.switch.map(hookTitle).join(', then ')}`
          : 'Switch (no hooks in the file)',
      skip: 'the hooks that did not run are left to you',
    },
    {
      id: 'checks',
      kind: 'step',
      title: migration.checks.length > 0 ? `${migration.checks.length} functional checks` : 'Functional checks (none)',
      skip: 'nothing proves that the application works on the target',
    },
  ];
}

function lastSteps(migration: Postgres): PlannedStep[] {
  return [
    { id: 'report', kind: 'step', title: 'Read back the final state for the report' },
    ...(migration.soak > 0
      ? ([
          {
            id: 'soak',
            kind: 'step',
            title: `Watch the target for ${seconds(migration.soak)}`,
            skip: 'the watch ends at once',
          },
        ] satisfies PlannedStep[])
      : []),
    {
      id: 'clean-up',
      kind: 'step',
      title: 'Remove the replication, slots included',
      skip: 'what is left costs money, and a slot keeps WAL on the source',
    },
  ];
}
