/** Writes results into docs/performance.md, each bench between its own two marks; all else there is written by hand. */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Machine } from './machine.ts';
import type { BenchRun } from './result.ts';
import { resultText, verdictText } from './text.ts';

const up = import.meta.url.endsWith('.ts') ? '..' : '../..';
const DOC = fileURLToPath(new URL(`${up}/docs/performance.md`, import.meta.url));

/** @returns the file that was changed @throws Error where the marks of a bench are not there */
export function record(runs: readonly BenchRun[], machine: Machine): string {
  let text = readFileSync(DOC, 'utf8');
  for (const run of runs) {
    const [from, to] = [`<!-- bench ${run.name} -->\n`, `<!-- end of ${run.name} -->`];
    const [start, end] = [text.indexOf(from), text.indexOf(to)];
    if (start === -1 || end < start) throw new Error(`${DOC}: the marks ${from.trim()} and ${to} are not there`);
    text = text.slice(0, start + from.length) + section(run, machine) + text.slice(end);
  }
  writeFileSync(DOC, text);
  return DOC;
}

function section({ at, loadBefore, loadAfter, seconds, results }: BenchRun, { hardware, versions }: Machine): string {
  return [
    `${at.slice(0, 10)}, ${hardware}; ${versions}; load of the machine ${loadBefore} before and ${loadAfter} after; took ${seconds} s.`,
    '',
    '| what | figure | target | |',
    '|---|---|---|---|',
    ...results.map((one) => `| ${one.name} | ${resultText(one)} | ${one.target ?? ''} | ${verdictText(one)} |`),
    '',
  ].join('\n');
}
