/** Follows a migration: a live view on a terminal, a line per change elsewhere. */
import type { LiveStatus } from '../live-status.ts';
import type { MigrationHandle } from '../migration-handle.ts';
import { waitsForOperator } from '../waits-for-operator.ts';
import type { ConnectionOptions } from './command.ts';
import { ExitCode } from './exit-code.ts';
import { fraction } from './figures.ts';
import { note, print } from './output.ts';
import { choicesText, statusLine, undoneCutovers } from './status-view.ts';
import { liveView, troubleNote, type View } from './live-view.ts';

export interface FollowOptions extends ConnectionOptions {
  /** Keep on while it waits for the operator. */
  through?: boolean;
  /** Seconds between two looks. */
  interval?: number;
}

/**
 * @returns done: it is done; failed: it was aborted; operator: it waits for one, and `through` is not set
 * @throws as MigrationHandle.watch
 */
export async function follow(handle: MigrationHandle, options: FollowOptions): Promise<ExitCode> {
  const ended = new AbortController();
  const stop = () => ended.abort();
  process.once('SIGINT', stop);
  const view = options.json ? silent : process.stdout.isTTY ? liveView(process.stdout) : lines();
  let last: LiveStatus | undefined;
  try {
    const intervalMs = (options.interval ?? 1) * 1000;
    for await (const status of handle.watch({ intervalMs, signal: ended.signal, onTrouble: view.trouble })) {
      last = status;
      view.show(status);
      if (!options.through && waitsForOperator(status)) break;
    }
  } finally {
    process.off('SIGINT', stop);
    view.end();
  }
  const goesOn = 'the view has ended, the migration goes on';
  if (!last) {
    note(goesOn);
    return ExitCode.failed;
  }
  const status = last;
  if (options.json) print(options, status, () => '');
  else note(choicesText(status, options).join('\n'));
  if (status.phase === 'done') return ExitCode.done;
  if (status.phase === 'aborted') return ExitCode.failed;
  if (waitsForOperator(status)) return ExitCode.operator;
  // Ctrl-C. It must never look like done: `cutover watch shop && next` would go on.
  note(goesOn);
  return ExitCode.failed;
}

const silent: View = { show() {}, trouble: (error) => troubleNote(error), end() {} };

/** A line at every material change: another phase, step, or gate, a new warning, another tenth of the way. */
function lines(): View {
  let seen = '';
  let shownAt = 0;
  let told = 0;
  return {
    show(status) {
      const { phase, step, gate, operator, fence, warnings, cutovers, progress } = status;
      const tenth = progress ? Math.floor((fraction(progress) ?? 0) * 10) : 0;
      const failures = status.activities.map(({ lastFailure }) => lastFailure);
      // Figures within the text change at every look, and are no news by themselves.
      const text = progress?.text.replaceAll(/\d+/g, '');
      const state = JSON.stringify([
        phase,
        step,
        gate?.ready,
        gate?.notReady,
        operator?.since,
        fence.state,
        warnings.at(-1),
        cutovers.length,
        tenth,
        text,
        failures,
      ]);
      // A copy of days moves a tenth in hours: a log without a line for so long looks dead.
      if (state === seen && Date.now() - shownAt < QUIET_MS) return;
      shownAt = Date.now();
      seen = state;
      const line = (text: string) => process.stdout.write(`${new Date().toISOString()} ${status.id} ${text}\n`);
      // It is back at its gate, and would look as if nobody had approved it.
      undoneCutovers(status, told).forEach(line);
      told = cutovers.findLast(({ outcome }) => outcome === 'undone')?.number ?? told;
      line(statusLine(status));
    },
    trouble: troubleNote,
    end() {},
  };
}

const QUIET_MS = 60_000;
