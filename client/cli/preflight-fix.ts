/** The mends of a preflight as scripts, one per side. They are printed, never run. */
import type { CheckReport, Fix, PreflightReport } from '../../spec/preflight.ts';

type Side = Fix['side'];

export interface FixScripts {
  /** One script for each side that has something to mend. */
  scripts: { side: Side; language: 'sql' | 'shell'; script: string; checks: string[] }[];
  /** What no script can do: a change of the file, a decision. */
  byHand: { id: string; title: string; result: CheckReport['result']; found: string; remedy: string }[];
}

const SIDES: Record<Side, { language: 'sql' | 'shell'; head: string }> = {
  source: { language: 'sql', head: 'on the source, as a superuser: psql -f this-part.sql' },
  target: { language: 'sql', head: 'on the target, as its administrator: psql -f this-part.sql' },
  aws: { language: 'shell', head: 'with the AWS command line, in the account and region of the migration' },
  worker: { language: 'shell', head: "on the worker's machine" },
};

export function fixScripts(report: PreflightReport): FixScripts {
  const wrong = report.checks.filter(({ result }) => result !== 'pass');
  const scripts = (Object.keys(SIDES) as Side[]).flatMap((side) => {
    const { language } = SIDES[side];
    const mended = wrong.flatMap((check) => (check.fix?.side === side ? [{ ...check, fix: check.fix }] : []));
    if (mended.length === 0) return [];
    const parts = mended.map((check) => `${remark(language, about(check))}\n${check.fix.script}`);
    const script = `${remark(language, SIDES[side].head)}\n\n${parts.join('\n\n')}\n`;
    return [{ side, language, script, checks: mended.map(({ id }) => id) }];
  });
  const byHand = wrong.flatMap(({ id, title, result, found, remedy, fix }) =>
    fix || !remedy ? [] : [{ id, title, result, found, remedy }],
  );
  return { scripts, byHand };
}

const LINE = /\r\n|\r|\n/;

/** Every line of it a comment: what was found may have line breaks in it, and must never become a command. */
function remark(language: 'sql' | 'shell', text: string): string {
  const mark = language === 'sql' ? '--' : '#';
  return text
    .split(LINE)
    .map((line) => `${mark} ${line}`)
    .join('\n');
}

const about = ({ id, title, result, found }: Pick<CheckReport, 'id' | 'title' | 'result' | 'found'>) =>
  `${id} (${result}) ${title}: ${found}`;

/** All of it as one text. The parts by hand come last, as comments. */
export function fixText(report: PreflightReport): string {
  const { scripts, byHand } = fixScripts(report);
  if (scripts.length === 0 && byHand.length === 0) return '# nothing to mend';
  const parts = scripts.map(
    ({ side, script }) => `# ---- ${side} ${'-'.repeat(Math.max(4, 60 - side.length))}\n${script}`,
  );
  const rest = byHand.map((check) => remark('shell', `${about(check)}\n  ${check.remedy}`));
  if (rest.length > 0) parts.push(`# ---- by hand ${'-'.repeat(53)}\n${rest.join('\n')}\n`);
  return parts.join('\n');
}
