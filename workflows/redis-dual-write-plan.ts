/** The plan of `redis-dual-write`: what is declared before anything runs. Pure, so that `cutover plan` needs no server. */
import type { RedisDualWrite } from '../spec/kind-redis-dual-write.ts';
import type { Plan, PlannedStep } from '../spec/status.ts';
import { gateOpens, seconds } from './plan-text.ts';

export function redisDualWritePlan(migration: RedisDualWrite): Plan {
  const source = `${migration.source.host}:${migration.source.port}`;
  const target = `${migration.target.host}:${migration.target.port}`;
  const warnings = [
    `Every application that writes to ${source} must do so through the library cutover/dual-write with the id ${migration.id}: what is written past it after the last compare is lost at the cutover.`,
    `Once the source is let go there is no way back: what ${target} takes from then on is not on ${source}.`,
  ];
  if (migration.allowNonEmptyTarget) warnings.push(`Keys that ${target} has and ${source} lacks are deleted.`);
  return {
    kind: migration.kind,
    title: migration.description ?? `Redis ${source} to ${target}`,
    summary: `Redis ${source} → ${target}, by dual write`,
    steps: steps(migration, source, target),
    warnings,
  };
}

function steps(migration: RedisDualWrite, source: string, target: string): PlannedStep[] {
  const { instances, compare, cutover, sourceOff, soak, abort } = migration;
  const { hold, drain } = cutover.budgets;
  const left = abort.removePartialData ? 'its data is deleted if it was empty before' : 'its partial data stays';
  return [
    { id: 'preflight', kind: 'step', title: 'Check source, target and the instances of the application' },
    {
      id: 'both',
      kind: 'step',
      title: `Phase both: the application writes ${source} and then ${target}; every instance (at least ${instances.min}) acknowledges it`,
      undo: `phase source: ${target} is written no more, every instance acknowledges it; ${left}`,
    },
    {
      id: 'backfill',
      kind: 'step',
      title: `Copy what was there before, never over a key that ${target} has; keys that were touched are repaired meanwhile`,
    },
    {
      id: 'compare',
      kind: 'step',
      title: `Compare every key in both directions and repair, until ${compare.rounds} rounds in a row are equal`,
    },
    {
      id: 'approve-reads',
      kind: 'gate',
      title: `Gate: ${gateOpens(cutover.gate)}, while every instance is alive and at most ${migration.maxBacklog} touched keys wait`,
    },
    {
      id: 'cutover',
      kind: 'critical',
      title: `Critical section: writes are held, what was touched is brought over and compared, reads and writes go to ${target} first (budgets: hold ${seconds(hold)}, drain ${seconds(drain)})`,
      undo: `before the change: writes go on at ${source}. After it: writes are held again, ${source} is brought up to date from ${target}, and is the authority again`,
      warning: 'writes wait from here until the change; reads go on',
    },
    {
      id: 'reads',
      kind: 'step',
      title: `Every instance reads and writes ${target} first, and ${source} second`,
    },
    ...(soak > 0
      ? [
          {
            id: 'soak',
            kind: 'step' as const,
            title: `Read from ${target} for ${seconds(soak)}; ${source} is kept up to date`,
            skip: 'the watch ends at once',
          },
        ]
      : []),
    {
      id: 'approve-source-off',
      kind: 'gate',
      title: `Gate: ${gateOpens(sourceOff.gate)}; an abort steps back to ${source}`,
    },
    {
      id: 'source-off',
      kind: 'step',
      title: `Phase target: ${source} is written no more; every instance acknowledges it`,
      warning: `there is no way back after it: what ${target} takes is not on ${source}`,
    },
    {
      id: 'report',
      kind: 'step',
      title: 'Remove the journals, and read the key counts for the report',
      skip: 'the journals of touched keys stay on both servers',
    },
  ];
}
