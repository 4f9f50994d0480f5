import { closeSync, openSync, readSync, fstatSync } from 'node:fs';

const AT_MOST_BYTES = 64 * 1024;

/**
 * The last lines of a log, indented, from byte `from` on (so that an earlier run's lines are not shown as this one's).
 * `secrets` are replaced by ***: redis-server, for one, prints the line of its file that it could not read, password and all.
 * Returns '' for an empty or missing file.
 */
export function tailOf(file: string, options: { from: number; lines: number; secrets: readonly string[] }): string {
  let fd: number;
  try {
    fd = openSync(file, 'r');
  } catch {
    return '';
  }
  try {
    const size = fstatSync(fd).size;
    const start = Math.max(options.from, size - AT_MOST_BYTES);
    const bytes = Buffer.alloc(Math.max(0, size - start));
    const read = readSync(fd, bytes, 0, bytes.length, start);
    let text = bytes.toString('utf8', 0, read);
    for (const secret of options.secrets) if (secret !== '') text = text.replaceAll(secret, '***');
    const lines = text.split('\n').filter((line) => line.trim() !== '');
    return lines
      .slice(-options.lines)
      .map((line) => `  ${line}`)
      .join('\n');
  } finally {
    closeSync(fd);
  }
}
