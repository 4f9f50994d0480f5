/** The report of a preflight as text: what stops it first, with the command that mends it. */
import pc from 'picocolors';
import type { CheckReport, CheckResult, PreflightReport } from '../../spec/preflight.ts';

const GROUPS: [CheckResult, string, (text: string) => string][] = [
  ['fail', 'failed', pc.red],
  ['unknown', 'could not be checked', pc.yellow],
  ['warn', 'warnings', pc.yellow],
  ['pass', 'passed', pc.green],
];

export function preflightText(report: PreflightReport): string {
  const blocks = GROUPS.map(([result, title, color]) => {
    const checks = report.checks.filter((check) => check.result === result);
    return checks.length === 0 ? '' : [color(`${title} (${checks.length})`), ...checks.flatMap(checkLines)].join('\n');
  });
  const { passed, warned, failed, unknown } = report;
  const sum = `${failed} failed, ${unknown} unknown, ${warned} warnings, ${passed} passed`;
  return [...blocks.filter(Boolean), failed > 0 ? pc.red(sum) : sum].join('\n\n');
}

function checkLines({ id, title, result, found, remedy }: CheckReport): string[] {
  const line = `  ${id.padEnd(4)} ${title}: ${found}`;
  return remedy && result !== 'pass'
    ? [line, `       ${pc.bold(result === 'unknown' ? 'by hand:' : 'mend:')} ${indented(remedy)}`]
    : [line];
}

/** A script has several lines; they stay below their check. */
function indented(text: string): string {
  return text.replaceAll(/\r\n|\r|\n/g, '\n             ');
}
