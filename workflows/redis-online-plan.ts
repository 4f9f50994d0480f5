/** The plan of `redis-online`: what is declared before anything runs. Pure, so that `cutover plan` needs no server. */
import { hookTitle } from '../spec/hooks.ts';
import type { RedisOnline } from '../spec/kind-redis-online.ts';
import type { Plan, PlannedStep } from '../spec/status.ts';
import { gateOpens, seconds } from './plan-text.ts';

function targetName(migration: RedisOnline): string {
  return migration.engine === 'elasticache'
    ? `ElastiCache ${migration.target.replicationGroup}`
    : `${migration.target.host}:${migration.target.port}`;
}

export function redisOnlinePlan(migration: RedisOnline): Plan {
  const source = `${migration.source.host}:${migration.source.port}`;
  const target = targetName(migration);
  const warnings = [
    migration.engine === 'scan' ? scanWarning(migration, target) : `Attaching deletes every key that ${target} has.`,
    `After the ${migration.engine === 'scan' ? 'switch' : 'promotion'} there is no way back: writes that ${target} took are not on the old source, which stays fenced.`,
  ];
  if (migration.compare.mode === 'off')
    warnings.push('compare is off: nothing proves that the keys are equal before the cutover.');
  if (migration.switch.length === 0) {
    warnings.push(
      'No switch hooks: sending the application to the target is up to you; writes are refused until it gets there.',
    );
  }
  return {
    kind: migration.kind,
    title: migration.description ?? `Redis ${source} to ${target}`,
    summary: `Redis ${source} → ${target}, online (${migration.engine})`,
    steps: [...copySteps(migration, target), ...cutoverSteps(migration), ...lastSteps(migration)],
    warnings,
  };
}

const lagText = (migration: RedisOnline) =>
  migration.engine === 'scan' ? seconds(migration.inSync.maxLag) : `${migration.inSync.maxLagBytes} bytes`;

function scanWarning({ allowNonEmptyTarget }: RedisOnline, target: string): string {
  return allowNonEmptyTarget
    ? `Keys of ${target} that the source lacks are deleted, those of the same name overwritten.`
    : `${target} must be empty; from the first key on it belongs to the copy, and nobody else may write to it.`;
}

const ATTACH: Record<RedisOnline['engine'], string> = {
  elasticache: 'Make the target a replica of the source (StartMigration)',
  replicaof: 'Make the target a replica of the source (REPLICAOF)',
  scan: 'Take the target, listen to the source’s keyspace notifications, begin to copy (SCAN, DUMP, RESTORE)',
};

function attachStep(migration: RedisOnline, target: string): PlannedStep {
  const kept = migration.abort.removePartialData ? 'its partial data deleted' : 'keeps partial data';
  if (migration.engine !== 'scan') {
    return {
      id: 'attach',
      kind: 'step',
      title: ATTACH[migration.engine],
      undo: `${target} is detached and ${kept}; the source is untouched`,
      warning: `every key that ${target} has is deleted`,
    };
  }
  const settings =
    migration.notifications === 'switch-on' ? 'its notifications are put back' : 'the source is untouched';
  return {
    id: 'attach',
    kind: 'step',
    title: ATTACH.scan,
    undo: `the copy ends and ${target} ${migration.abort.removePartialData ? 'is emptied' : kept}; ${settings}`,
    warning: scanWarning(migration, target),
  };
}

function copySteps(migration: RedisOnline, target: string): PlannedStep[] {
  const steps: PlannedStep[] = [{ id: 'preflight', kind: 'step', title: 'Check source, target and network' }];
  if (migration.engine === 'elasticache' && migration.testMigration) {
    steps.push({
      id: 'test-migration',
      kind: 'step',
      title: 'ElastiCache tries whether it can reach the source (TestMigration)',
      skip: 'a target that can’t reach the source is then only found out by the attach',
    });
  }
  steps.push(
    attachStep(migration, target),
    { id: 'first-sync', kind: 'step', title: 'First full copy' },
    {
      id: 'follow',
      kind: 'step',
      title: `Follow until in sync (lag of at most ${lagText(migration)}, ${migration.inSync.readings} readings in a row)`,
    },
  );
  if (migration.compare.mode !== 'off') {
    const what =
      migration.compare.mode === 'full' ? 'every key' : `${migration.compare.sampleRatio * 100} % of the keys`;
    steps.push({
      id: 'compare',
      kind: 'step',
      title: `Compare ${what} in both directions`,
      skip: 'differences that were found are carried over',
    });
  }
  return steps;
}

function cutoverSteps(migration: RedisOnline): PlannedStep[] {
  const { budgets, gate } = migration.cutover;
  const phases = `fence ${seconds(budgets.fence)}, drain ${seconds(budgets.drain)}, complete ${seconds(budgets.complete)}`;
  const hooks = migration.switch.map(hookTitle);
  return [
    { id: 'approve-cutover', kind: 'gate', title: `Gate: ${gateOpens(gate)}, while in sync` },
    {
      id: 'cutover',
      kind: 'critical',
      ...criticalText(migration.engine, phases),
    },
    { id: 'canary', kind: 'step', title: 'A canary is written, read and deleted on the target' },
    {
      id: 'switch',
      kind: 'step',
      title: hooks.length > 0 ? `Switch: ${hooks.join(', then ')}` : 'Switch (no hooks in the file)',
      skip: 'the hooks that did not run are left to you',
    },
  ];
}

function criticalText(engine: RedisOnline['engine'], phases: string): Pick<PlannedStep, 'title' | 'undo' | 'warning'> {
  if (engine === 'scan') {
    return {
      title: `Critical section: fence every primary of the source, drain, end the copy, canary (budgets: ${phases})`,
      undo: 'the fence is lifted and the source takes writes again; the copy is gone on with',
      warning:
        'writes are refused from here until the switch; once an application writes to the target there is no way back',
    };
  }
  return {
    title: `Critical section: fence the source, drain, promote the target (budgets: ${phases})`,
    undo: 'the fence is lifted and the source takes writes again, as long as the target is known not to be promoted',
    warning: 'writes are refused from here until the switch; once the target is promoted there is no way back',
  };
}

function lastSteps(migration: RedisOnline): PlannedStep[] {
  const steps: PlannedStep[] = [{ id: 'report', kind: 'step', title: 'Read back roles and key counts for the report' }];
  if (migration.soak > 0)
    steps.push({
      id: 'soak',
      kind: 'step',
      title: `Watch the target for ${seconds(migration.soak)}`,
      skip: 'the watch ends at once',
    });
  return steps;
}
