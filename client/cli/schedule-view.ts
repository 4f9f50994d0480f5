/** Schedules as people read them. */
import { DateTime } from 'luxon';
import pc from 'picocolors';
import type { Phase } from '../../spec/status.ts';
import type { ScheduleInfo } from '../schedule-info.ts';
import type { ScheduledRun } from '../scheduled-runs.ts';
import { nextCommand, type ConnectionOptions } from './command.ts';
import { span } from './figures.ts';
import { PHASE_COLOR } from './status-view.ts';
import { tableLines } from './table.ts';

/** `2026-11-22 03:00 CET (in 5h, 11:00 here)`; with seconds where there are some. */
export function timeText(iso: string, zone: string, now = Date.now()): string {
  const at = DateTime.fromISO(iso, { zone });
  const local = at.toLocal();
  const clock = at.second === 0 ? 'HH:mm' : 'HH:mm:ss';
  const here =
    local.offset === at.offset
      ? ''
      : `, ${local.toFormat(local.hasSame(at, 'day') ? clock : `yyyy-MM-dd ${clock}`)} here`;
  const off = at.toMillis() - now;
  const when = off >= 0 ? `in ${span(off)}` : `${span(-off)} ago`;
  return `${at.toFormat(`yyyy-MM-dd ${clock}`)} ${at.offsetNameShort ?? at.toFormat('ZZ')} (${when}${here})`;
}

export function scheduleTable(found: readonly ScheduleInfo[]): string[] {
  const rows = found.map((info) => [
    info.id,
    info.kind,
    `${info.words} ${info.timeZone}`,
    stateText(info),
    lastText(info),
    countsText(info),
  ]);
  return tableLines(['id', 'kind', 'when', 'next', 'last run', 'not run'], rows);
}

function stateText(info: ScheduleInfo): string {
  if (info.paused) return pc.yellow(info.note ?? 'paused');
  const [first] = info.next;
  return first ? timeText(first, info.timeZone) : 'over';
}

function lastText({ runs, timeZone }: ScheduleInfo): string {
  const [last] = runs;
  return last ? `${outcomeText(last)} ${last.dueAt ? timeText(last.dueAt, timeZone) : last.id}` : 'none yet';
}

function outcomeText({ outcome, ended }: ScheduledRun): string {
  const color = PHASE_COLOR[outcome as Phase] ?? (ended ? pc.red : String);
  return color(outcome);
}

function countsText({ counts }: ScheduleInfo): string {
  const parts = [
    counts.missed > 0 ? pc.red(`${counts.missed} missed`) : '',
    counts.skipped > 0 ? pc.yellow(`${counts.skipped} skipped`) : '',
    counts.waiting > 0 ? `${counts.waiting} waiting` : '',
    counts.dropped > 0 ? pc.red(`${counts.dropped} dropped`) : '',
  ];
  return parts.filter(Boolean).join(', ') || '-';
}

/** What nobody must miss: a run that waits for its operator, and the ones that do not run meanwhile. */
export function blockedLines({ id, blockedBy }: ScheduleInfo, options: ConnectionOptions): string[] {
  if (!blockedBy) return [];
  const { outcome, step } = blockedBy;
  return [
    `${pc.red('BLOCKED')}   ${id}: the run ${blockedBy.id} is ${outcome}${step ? ` at ${step}` : ''}; no further run begins until it has ended`,
    `          ${nextCommand(`status ${blockedBy.id}`, options)}`,
  ];
}

/** A line for each change of the clock within a year, with what it does to the schedule. */
export function clockChangeLines({
  clockChanges,
  timeZone,
}: Pick<ScheduleInfo, 'clockChanges' | 'timeZone'>): string[] {
  return clockChanges.map((change) => {
    const { day, from, to, effect, times } = change;
    const at = times.join(', ');
    const EFFECTS: Record<typeof effect, string> = {
      none: 'no run is left out or doubled',
      'left-out': `it does NOT run at ${at}, which does not exist on that day`,
      twice: `it runs TWICE at ${at}, which comes twice on that day`,
      once: `it runs once at ${at}, which comes twice on that day`,
      hole: `it does NOT run at one of the two ${at} of that day (in UTC, or with \`every\`, there is no such hole)`,
    };
    return `${day} the clock goes from ${from} to ${to} in ${timeZone}: ${EFFECTS[effect]}`;
  });
}

/** Those changes of the clock that somebody may not want. */
export function clockWarnings(info: ScheduleInfo): string[] {
  const odd = info.clockChanges.filter(({ effect }) => effect !== 'none' && effect !== 'once');
  return clockChangeLines({ ...info, clockChanges: odd });
}

export function scheduleText(info: ScheduleInfo, options: ConnectionOptions): string {
  const { counts, timeZone } = info;
  const head = [
    `${pc.bold(info.id)}  ${pc.dim(info.kind)}  ${info.words} (${timeZone})`,
    info.paused ? pc.yellow(`paused: ${info.note ?? 'nothing runs until it is resumed'}`) : '',
    `created by ${info.createdBy} at ${info.createdAt}${info.updatedAt ? `, updated at ${info.updatedAt}` : ''}${info.file ? `, from ${info.file}` : ''}`,
    `runs: ${counts.started} started, ${counts.missed} missed in an outage, ${counts.skipped} skipped because one was running${counts.waiting ? `, ${counts.waiting} waiting for it` : ''}${counts.dropped ? `, ${counts.dropped} dropped: too many waited` : ''}${info.remaining === undefined ? '' : `; ${info.remaining} more, then no more`}`,
  ];
  const section = [
    'schedule, as a file has it:',
    ...Object.entries(info.section).map(
      ([name, value]) => `  ${name}: ${typeof value === 'string' ? value : JSON.stringify(value)}`,
    ),
  ];
  const next =
    info.next.length > 0
      ? [
          `next${info.paused ? ', once it is resumed' : ''}:`,
          ...info.next.map((time) => `  ${timeText(time, timeZone)}`),
        ]
      : ['next: none, it is over'];
  const runs = info.runs.length > 0 ? ['last runs:', ...runTable(info)] : ['no run yet'];
  const clock =
    info.clockChanges.length > 0 ? ['daylight saving:', ...clockChangeLines(info).map((line) => `  ${line}`)] : [];
  return [blockedLines(info, options), head, section, next, clock, runs]
    .map((lines) => lines.filter(Boolean).join('\n'))
    .filter(Boolean)
    .join('\n\n');
}

function runTable({ runs, timeZone }: ScheduleInfo): string[] {
  const rows = runs.map((run) => {
    const took = run.startedAt && run.endedAt ? span(Date.parse(run.endedAt) - Date.parse(run.startedAt)) : '';
    return [
      `  ${run.id}`,
      outcomeText(run),
      run.ended ? '' : (run.step ?? ''),
      took,
      run.dueAt ? timeText(run.dueAt, timeZone) : '',
    ];
  });
  return tableLines(undefined, rows);
}
