/** The report of a migration as text, and as markdown for a ticket. */
import pc from 'picocolors';
import type { MigrationReport } from '../report.ts';
import { span } from './figures.ts';
import { tableLines } from './table.ts';

type Section = { title: string; head: string[]; rows: string[][] };

export function reportText(report: MigrationReport): string {
  const color = report.outcome === 'done' ? pc.green : report.outcome === 'aborted' ? pc.red : pc.yellow;
  const lines = [
    `${pc.bold(report.id)}  ${pc.dim(report.kind)}  ${report.summary}`,
    '',
    ...facts(report).map(([name, value]) => `${name.padEnd(12)} ${name === 'outcome' ? color(value) : value}`),
  ];
  for (const { title, head, rows } of sections(report, 'id')) {
    lines.push('', pc.bold(title), ...tableLines(head, rows));
  }
  return lines.join('\n');
}

export function reportMarkdown(report: MigrationReport): string {
  const lines = [`# ${report.id}: ${report.outcome}`, '', report.summary, ''];
  for (const [name, value] of facts(report)) lines.push(`- ${name}: ${value}`);
  for (const { title, head, rows } of sections(report, 'title')) {
    lines.push('', `## ${title}`, '', `| ${head.join(' | ')} |`, `|${'---|'.repeat(head.length)}`);
    for (const row of rows) lines.push(`| ${row.map(cell).join(' | ')} |`);
  }
  return lines.join('\n');
}

const cell = (text: string) => text.replaceAll('|', '\\|').replaceAll('\n', ' ');

function facts(report: MigrationReport): [string, string][] {
  const { outcome, startedAt, endedAt, durationMs, writePauseMs, fence } = report;
  return [
    ['outcome', outcome],
    ['started', startedAt],
    ['ended', endedAt ?? 'not yet'],
    ['took', span(durationMs)],
    ...(writePauseMs === undefined ? [] : [['write pause', `${Math.round(writePauseMs)} ms`] as [string, string]]),
    ...(fence.state === 'none'
      ? []
      : [['fence', [fence.state, fence.detail].filter(Boolean).join(': ')] as [string, string]]),
  ];
}

/** @param called how steps are called: by id in a terminal, where the titles would fill it */
function sections(report: MigrationReport, called: 'id' | 'title'): Section[] {
  const { steps, cutovers, decisions, warnings, leftovers, details } = report;
  const all: Section[] = [
    {
      title: 'Steps',
      head: ['step', 'state', 'tries', 'took', 'note'],
      rows: steps.map((step) => [
        step[called],
        step.state,
        step.tries > 0 ? String(step.tries) : '',
        step.durationMs === undefined ? '' : span(step.durationMs),
        step.note ?? '',
      ]),
    },
    {
      title: 'Cutovers',
      head: ['#', 'outcome', 'write pause', 'phases (ms of budget)', 'reason'],
      rows: cutovers.map((cutover) => [
        String(cutover.number),
        cutover.outcome,
        cutover.writePauseMs === undefined ? '' : `${Math.round(cutover.writePauseMs)} ms`,
        cutover.phases
          .map(({ name, ms, budgetMs }) => `${name} ${Math.round(ms)}${budgetMs ? ` of ${budgetMs}` : ''}`)
          .join(', '),
        cutover.reason ?? '',
      ]),
    },
    {
      title: 'Decisions',
      head: ['at', 'by', 'command', 'step', 'reason'],
      rows: decisions.map(({ at, by, command, step, reason }) => [at, by, command, step ?? '', reason ?? '']),
    },
    { title: 'Details', head: ['what', 'value'], rows: flat(details) },
    { title: 'Left behind', head: ['what'], rows: leftovers.map((text) => [text]) },
    { title: 'Warnings', head: ['what'], rows: warnings.map((text) => [text]) },
  ];
  return all.filter(({ rows }) => rows.length > 0);
}

/** The kind's own results, each value by its path; lists of things by their number. `--json` has them in full. */
function flat(details: Record<string, unknown>, prefix = ''): string[][] {
  return Object.entries(details).flatMap(([name, value]) => {
    const path = prefix + name;
    if (Array.isArray(value) && value.some((item) => typeof item === 'object'))
      return [[path, `${value.length} (in --json)`]];
    if (Array.isArray(value)) return value.length > 0 ? [[path, value.join(', ')]] : [];
    if (typeof value === 'object' && value !== null) return flat(value as Record<string, unknown>, `${path}.`);
    return [[path, String(value)]];
  });
}
