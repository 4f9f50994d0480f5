/** `cutover schedule backfill <id>` */
import { InvalidArgumentError, Option, type Command } from 'commander';
import { OVERLAPS, type Overlap } from '../../spec/schedule-overlap.ts';
import { action, addCommand, withClient, withConnection, type ConnectionOptions } from './command.ts';
import { print } from './output.ts';

interface BackfillOptions extends ConnectionOptions {
  from: Date;
  to: Date;
  overlap: Overlap;
}

export function addScheduleBackfill(schedule: Command): void {
  const command = addCommand(schedule, 'backfill <id>', {
    summary: 'run now what was due in a time that is past',
    description:
      "Starts a run for each of the schedule's times between --from and --to, both included, as if they passed by now. A snapshot, an image or a copy that is taken so holds the data of NOW and not of then; its name is that of the time it stands for. Only what can reach back (an export from point-in-time recovery) makes up for the past.",
    examples: ['schedule backfill nightly --from 2026-11-18T00:00:00+01:00 --to 2026-11-20T23:59:59+01:00'],
  });
  withConnection(command)
    .requiredOption('--from <time>', 'with its offset, 2026-11-18T00:00:00+01:00', moment)
    .requiredOption('--to <time>', 'with its offset', moment)
    .addOption(
      new Option('--overlap <policy>', 'how the runs follow each other')
        .choices(Object.keys(OVERLAPS))
        .default('buffer-all'),
    )
    .action(action(backfill));
}

/** Without its offset a time would be that of whatever machine this is. */
function moment(text: string): Date {
  const at = new Date(text);
  if (!/T.*(Z|[+-]\d\d:?\d\d)$/.test(text) || Number.isNaN(at.getTime()))
    throw new InvalidArgumentError('Expected a date and time with its offset, 2026-11-18T00:00:00+01:00.');
  return at;
}

async function backfill(id: string, options: BackfillOptions): Promise<void> {
  const { WrongUsage } = await import('../errors.ts');
  if (options.from > options.to) throw new WrongUsage('--from is later than --to');
  const times = await withClient(options, async (client) => {
    const { backfillSchedule } = await import('../schedules.ts');
    return backfillSchedule(client, id, options);
  });
  print(options, { id, times, overlap: options.overlap }, () =>
    [
      `${times.length} ${times.length === 1 ? 'time' : 'times'} of ${id}, due now, overlap ${options.overlap} (${OVERLAPS[options.overlap]}):`,
      ...times.map((time) => `  ${time}`),
    ].join('\n'),
  );
}
