/** A migration's status as text: what it does, why, for how long still, and what the operator can do. */
import pc from 'picocolors';
import type { MigrationStatus, Phase, StepState } from '../../spec/status.ts';
import { headline } from '../../workflows/status-text.ts';
import type { LiveStatus } from '../live-status.ts';
import { nextCommand, type ConnectionOptions } from './command.ts';
import { figures, span } from './figures.ts';
import { operatorChoices } from './operator-choices.ts';
import { tableLines } from './table.ts';

export const PHASE_COLOR: Record<Phase, (text: string) => string> = {
  running: pc.cyan,
  waiting: pc.yellow,
  paused: pc.yellow,
  'needs-operator': pc.red,
  critical: pc.magenta,
  'in-doubt': pc.red,
  aborting: pc.red,
  done: pc.green,
  aborted: pc.red,
};

const MARK: Record<StepState, string> = {
  pending: pc.dim('·'),
  running: pc.cyan('▶'),
  done: pc.green('✔'),
  skipped: pc.yellow('↷'),
  failed: pc.red('✘'),
  undone: pc.yellow('↶'),
};

/** State, reason and ETA in a line: `running at follow (5/12) | copying, 62 %, 1.2 GiB of 2 GiB, ETA 24s`. */
export function statusLine(status: LiveStatus): string {
  // Reasons come from servers and hooks, and may have lines of their own.
  return [stateText(status), ...progressTexts(status)].join(' | ').replaceAll(/\s*\n\s*/g, ' ');
}

function stateText(status: LiveStatus): string {
  const number = status.steps.findIndex(({ id }) => id === status.step) + 1;
  return `${headline(status)}${number > 0 ? ` (${number}/${status.steps.length})` : ''}`;
}

/** How far it is; and what fails and is tried again, which looks like standstill otherwise. */
function progressTexts({ progress, activities }: LiveStatus): string[] {
  const far = progress ? [[progress.text, figures(progress)].filter(Boolean).join(', ')] : [];
  const again = activities
    .filter(({ lastFailure }) => lastFailure)
    .map(({ name, attempt, lastFailure }) => `${name} tries again (attempt ${attempt}): ${lastFailure}`);
  return [...far, ...again];
}

/** What stands above the steps. */
export function statusHead(status: LiveStatus, now = Date.now()): string[] {
  const color = PHASE_COLOR[status.phase];
  const since = (status.endedAt ? Date.parse(status.endedAt) : now) - Date.parse(status.startedAt);
  return [
    `${pc.bold(status.id)}  ${pc.dim(status.kind)}  ${status.summary}`,
    `${color('●')} ${color(stateText(status))}`,
    ...progressTexts(status).map((text) => `  ${text}`),
    pc.dim(`  ${status.endedAt ? 'took' : 'for'} ${span(since)}, since ${status.startedAt}`),
  ];
}

/** @param width of the terminal; default: stdout's */
export function stepTable({ steps, endedAt }: MigrationStatus, now = Date.now(), width?: number): string[] {
  const rows = steps.map((step) => {
    const ended = Date.parse(step.endedAt ?? endedAt ?? new Date(now).toISOString());
    const time = step.startedAt && step.state !== 'pending' ? span(ended - Date.parse(step.startedAt)) : '';
    const tries = step.tries > 1 ? `${step.tries}×` : '';
    const id = step.state === 'pending' ? pc.dim(step.id) : step.id;
    // What came of it says more than what it is called, once there is something to say.
    return [MARK[step.state], id, tries, time, step.note ?? pc.dim(step.title)];
  });
  return tableLines(undefined, rows, width);
}

/** What an operator must not miss: the fence, cutovers that were undone, the gate, the question, warnings, leftovers. */
export function attention(status: MigrationStatus): string[] {
  const lines: string[] = [];
  const { fence, gate, operator } = status;
  if (fence.state !== 'none') {
    const color = fence.state === 'lifted' ? pc.green : pc.magenta;
    lines.push(
      `fence     ${color(fence.state)}${fence.since ? ` since ${fence.since}` : ''}${fence.detail ? `: ${fence.detail}` : ''}`,
    );
  }
  for (const cutover of status.cutovers) {
    const pause = cutover.writePauseMs === undefined ? '' : `, writes paused ${Math.round(cutover.writePauseMs)} ms`;
    lines.push(`cutover ${cutover.number} ${cutover.outcome}${pause}${cutover.reason ? `: ${cutover.reason}` : ''}`);
  }
  if (gate) {
    const window = gate.opensAt ? `, opens by itself from ${gate.opensAt} to ${gate.closesAt ?? 'open end'}` : '';
    lines.push(
      `gate      ${gate.id}: ${gate.ready ? pc.yellow('ready') : `not ready: ${gate.notReady ?? 'no reading yet'}`}${window}`,
    );
  }
  if (operator) {
    lines.push(pc.red(`failed    ${operator.step}: ${operator.reason}`));
    if (operator.remedy) lines.push(`mend      ${operator.remedy}`);
  }
  if (status.pausedBy)
    lines.push(`paused    by ${status.pausedBy.by} at ${status.pausedBy.at}${because(status.pausedBy)}`);
  if (status.abortedBy)
    lines.push(`abort     by ${status.abortedBy.by} at ${status.abortedBy.at}${because(status.abortedBy)}`);
  for (const warning of status.warnings) lines.push(`${pc.yellow('warning')}   ${warning}`);
  for (const leftover of status.leftovers) lines.push(`${pc.yellow('leftover')}  ${leftover}`);
  return lines;
}

/** Those behind this number, each with why. */
export const undoneCutovers = ({ cutovers }: MigrationStatus, behind: number): string[] =>
  cutovers
    .filter(({ outcome, number }) => outcome === 'undone' && number > behind)
    .map(({ number, reason }) => `cutover ${number} was undone${reason ? `: ${reason}` : ''}`);

const because = ({ reason }: { reason?: string }) => (reason ? `: ${reason}` : '');

export function choicesText(status: MigrationStatus, options: ConnectionOptions): string[] {
  const choices = operatorChoices(status).map(({ words, effect }) => ({ line: nextCommand(words, options), effect }));
  const width = Math.max(...choices.map(({ line }) => line.length));
  return ['now you can:', ...choices.map(({ line, effect }) => `  ${pc.bold(line.padEnd(width))}  ${pc.dim(effect)}`)];
}

/** All of it, for `cutover status`. */
export function statusText(status: LiveStatus, options: ConnectionOptions): string {
  const blocks = [statusHead(status), stepTable(status), attention(status), choicesText(status, options)];
  return blocks
    .filter((lines) => lines.length > 0)
    .map((lines) => lines.join('\n'))
    .join('\n\n');
}
