/** `cutover schedule …`: backups and restore drills that run by themselves. */
import type { Command } from 'commander';
import { OVERLAPS } from '../../spec/schedule-overlap.ts';
import { addScheduleBackfill } from './schedule-backfill.ts';
import { addScheduleCreate, addScheduleUpdate } from './schedule-create.ts';
import { addScheduleDelete } from './schedule-delete.ts';
import { addScheduleList } from './schedule-list.ts';
import { addSchedulePause, addScheduleResume } from './schedule-pause.ts';
import { addScheduleShow } from './schedule-show.ts';
import { addScheduleTrigger } from './schedule-trigger.ts';

const HELP = `
When it runs is the section \`schedule\` of the migration's file:
  schedule:
    cron: "0 3 * * *"            # or calendar: { hour: 3, dayOfWeek: monday-friday }, or every: 6h
    timeZone: Europe/Berlin      # daylight saving included; default UTC
    overlap: skip                # what if the one before still runs, or waits for its operator:
${Object.entries(OVERLAPS)
  .map(([name, meaning]) => `                                 #   ${name}: ${meaning}`)
  .join('\n')}
    catchUp: 1h                  # after an outage of Temporal, runs that are so late are made up for

Each run is a migration of its own, nightly-2026-11-21T02:00:00Z: status, watch, approve, abort, report take its id.
A run that waits for its operator holds the next ones up: \`cutover schedule list\` names it.`;

export function addSchedule(program: Command): void {
  const schedule = program
    .command('schedule')
    .summary('run backups and restore drills by themselves')
    .description(
      'Backups, exports and restore drills on a schedule that Temporal keeps: no cron daemon, no missed night unseen.',
    )
    .addHelpText('after', HELP);
  for (const add of [
    addScheduleCreate,
    addScheduleUpdate,
    addScheduleList,
    addScheduleShow,
    addSchedulePause,
    addScheduleResume,
    addScheduleTrigger,
    addScheduleBackfill,
    addScheduleDelete,
  ])
    add(schedule);
}
