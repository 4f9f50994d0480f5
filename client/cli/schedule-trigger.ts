/** `cutover schedule trigger <id>` */
import { Option, type Command } from 'commander';
import { OVERLAPS, type Overlap } from '../../spec/schedule-overlap.ts';
import { action, addCommand, nextCommand, withClient, withConnection } from './command.ts';
import { ExitCode } from './exit-code.ts';
import type { FollowOptions } from './follow.ts';
import { note, print } from './output.ts';

interface TriggerOptions extends FollowOptions {
  overlap?: Overlap;
  watch?: boolean;
}

export function addScheduleTrigger(schedule: Command): void {
  const command = addCommand(schedule, 'trigger <id>', {
    summary: 'run it now, beside its times',
    description:
      'Starts a run now, also while the schedule is paused; its times stay as they are. Where the run before has not ended, overlap decides: with skip (the default) it is refused, with buffer-… it waits, with cancel-other the running one is undone first.',
    examples: ['schedule trigger nightly --watch', 'schedule trigger nightly --overlap allow-all'],
  });
  withConnection(command)
    .addOption(
      new Option('--overlap <policy>', "what if one runs already (default: the schedule's)").choices(
        Object.keys(OVERLAPS),
      ),
    )
    .option('--watch', 'follow it, as `cutover watch` does')
    .option('--through', 'with --watch: keep on while it waits for the operator')
    .action(action(trigger));
}

async function trigger(id: string, options: TriggerOptions): Promise<ExitCode> {
  return withClient(options, async (client) => {
    const { triggerSchedule } = await import('../schedule-trigger.ts');
    const handle = await triggerSchedule(client, id, { overlap: options.overlap });
    if (handle && options.watch) {
      note(`${handle.id} started`);
      const { follow } = await import('./follow.ts');
      return follow(handle, options);
    }
    print(options, { id, run: handle?.id ?? null, waiting: handle === undefined }, () =>
      handle
        ? `${handle.id} started\nfollow it: ${nextCommand(`watch ${handle.id}`, options)}`
        : `${id} is triggered: it waits until the running one has ended`,
    );
    return ExitCode.done;
  });
}
