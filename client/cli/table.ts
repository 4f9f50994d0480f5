/** Tables without lines, as `ls` or `docker ps` print them. */
import { stripVTControlCharacters } from 'node:util';
import Table from 'cli-table3';
import pc from 'picocolors';

const BORDERS = ['top', 'bottom', 'left', 'mid', 'right'].flatMap((side) =>
  ['', '-mid', '-left', '-right'].map((corner) => side + corner),
);
const GAP = '  ';
const NARROWEST = 24;

/** On a terminal the last column is wrapped to its width; in a pipe each row stays one line, for grep. */
export function tableLines(
  head: readonly string[] | undefined,
  rows: readonly string[][],
  terminal = process.stdout.isTTY ? process.stdout.columns || 80 : Infinity,
): string[] {
  const all = head ? [head, ...rows] : rows;
  const columns = Math.max(0, ...all.map((row) => row.length));
  const widths = Array.from({ length: columns }, (_, column) =>
    Math.max(...all.map((row) => stripVTControlCharacters(row[column] ?? '').length)),
  );
  const before = widths.slice(0, -1).reduce((sum, width) => sum + width + GAP.length, 0);
  const last = Math.min(widths.at(-1) ?? 0, Math.max(NARROWEST, terminal - before));
  const table = new Table({
    ...(head ? { head: head.map((title) => pc.dim(title)) } : {}),
    colWidths: [...widths.slice(0, -1), last],
    wordWrap: true,
    chars: { ...Object.fromEntries(BORDERS.map((part) => [part, ''])), middle: GAP },
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0 },
  });
  table.push(...rows);
  return table
    .toString()
    .split('\n')
    .map((line) => line.trimEnd());
}

/** `line` in lines of at most `width`: one that the terminal wraps itself would break a view that is drawn over. */
export function wrapped(line: string, width: number): string[] {
  if (stripVTControlCharacters(line).length <= width) return [line];
  return tableLines(undefined, [[line]], width).flatMap((part) => {
    const plain = stripVTControlCharacters(part);
    return plain.length <= width ? [part] : [`${plain.slice(0, width - 1)}…`];
  });
}
