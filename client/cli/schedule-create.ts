/** `cutover schedule create <file>` and `update <file>` */
import { Option, type Command } from 'commander';
import { OVERLAPS } from '../../spec/schedule-overlap.ts';
import type { ScheduleInfo } from '../schedule-info.ts';
import { action, addCommand, nextCommand, withClient, withConnection, type ConnectionOptions } from './command.ts';
import { note, print } from './output.ts';

interface CreateOptions extends ConnectionOptions {
  cron?: string;
  timeZone?: string;
  overlap?: string;
  catchUp?: string;
}

export function addScheduleCreate(schedule: Command): void {
  const command = addCommand(schedule, 'create <file>', {
    summary: 'put a backup or a drill on a schedule',
    description:
      "Makes a schedule of the migration in the file, by its section `schedule`; the options win over it. The schedule's id is the migration's. It keeps a copy of the file: after a change of the file, `schedule update` takes it over. The first run is at its first time (`schedule trigger` does not wait for it).",
    examples: [
      'schedule create nightly.yaml',
      'schedule create nightly.yaml --cron "30 2 * * *" --time-zone Europe/Berlin',
    ],
  });
  withOverrides(command).action(action((file: string, options: CreateOptions) => put('create', file, options)));
}

export function addScheduleUpdate(schedule: Command): void {
  const command = addCommand(schedule, 'update <file>', {
    summary: 'take the changed file over into its schedule',
    description:
      'Takes all of the file over: when it runs, and what; options that `create` was given have to be given again. A paused schedule stays paused, and a run that is under way goes on as it was started.',
    examples: ['schedule update nightly.yaml', 'schedule update nightly.yaml --overlap buffer-one'],
  });
  withOverrides(command).action(action((file: string, options: CreateOptions) => put('update', file, options)));
}

function withOverrides(command: Command): Command {
  return withConnection(command, 'task-queue')
    .option('--cron <line>', 'when, as five fields: minute, hour, day of month, month, day of week')
    .option('--time-zone <zone>', 'in which it is read, such as Europe/Berlin')
    .addOption(
      new Option('--overlap <policy>', 'what if the one before still runs, or waits').choices(Object.keys(OVERLAPS)),
    )
    .option('--catch-up <duration>', 'after an outage of Temporal: make up for runs that are so late');
}

async function put(what: 'create' | 'update', file: string, options: CreateOptions): Promise<void> {
  const { loadMigrationFile } = await import('../migration-file.ts');
  const migration = await loadMigrationFile(file);
  const { cron, timeZone, overlap, catchUp, taskQueue } = options;
  const info = await withClient(options, async (client) => {
    const { createSchedule, updateSchedule } = await import('../schedules.ts');
    const wanted = { migration, file, taskQueue, overrides: { cron, timeZone, overlap, catchUp } };
    return what === 'create' ? createSchedule(client, wanted) : updateSchedule(client, wanted);
  });
  const { clockWarnings, timeText } = await import('./schedule-view.ts');
  print(options, info, () => {
    const first = info.next[0];
    return [
      `${info.id} ${what === 'create' ? 'is scheduled' : 'is updated'}: ${info.words} (${info.timeZone}), overlap ${info.overlap}`,
      info.paused
        ? 'it is paused: nothing runs until it is resumed'
        : `next run: ${first ? timeText(first, info.timeZone) : 'none: it is over'}`,
      '',
      `see it: ${nextCommand(`schedule show ${info.id}`, options)}`,
    ].join('\n');
  });
  if (options.json) return;
  for (const line of clockWarnings(info)) note(`warning: ${line}`);
  warnOfOverlap(info);
}

function warnOfOverlap({ overlap }: ScheduleInfo): void {
  if (overlap === 'terminate-other')
    note('warning: overlap terminate-other ends a run as it is: nothing of it is undone, and what it made stays');
}
