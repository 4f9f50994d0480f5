import prettyMs from 'pretty-ms';
import type { ToolName } from './tool-recipe.ts';

/** Told while a tool is fetched, at least once a second. Nothing is told about a tool that is already there. */
export interface ToolProgress {
  tool: ToolName;
  state: 'waiting' | 'fetching' | 'ready' | 'failed';
  /** The way it is got, e.g. "go install github.com/temporalio/cli/cmd/temporal@v1.5.1". */
  how: string;
  /** What it is for. */
  why: string;
  elapsedMs: number;
  /** What to expect, e.g. "takes 2 to 5 minutes". */
  note?: string;
}

interface TextStream {
  isTTY?: boolean;
  write(text: string): unknown;
}

const PLAIN_EVERY_MS = 10_000;

/**
 * Shows progress on a terminal as one line that is refreshed; elsewhere (a CI log) as a line at each change and every 10 s.
 * Give the result to ensureTool's onProgress.
 */
export function terminalProgress(stream: TextStream = process.stderr): (progress: ToolProgress) => void {
  const shown = new Map<ToolName, { key: string; at: number }>();
  return (progress) => {
    const ended = progress.state === 'ready' || progress.state === 'failed';
    if (stream.isTTY === true) {
      stream.write(`\r\u001B[2K${lineOf(progress)}${ended ? '\n' : ''}`);
      return;
    }
    const last = shown.get(progress.tool);
    const key = `${progress.state} ${progress.how}`;
    if (last?.key === key && progress.elapsedMs - last.at < PLAIN_EVERY_MS) return;
    shown.set(progress.tool, { key, at: progress.elapsedMs });
    stream.write(`${lineOf(progress)}\n`);
  };
}

function lineOf(progress: ToolProgress): string {
  const seconds = Math.floor(progress.elapsedMs / 1000);
  const elapsed = seconds === 0 ? '0s' : prettyMs(seconds * 1000);
  const note = progress.note === undefined ? '' : `, ${progress.note}`;
  switch (progress.state) {
    case 'ready':
      return `${progress.tool}: there after ${elapsed} (${progress.how})`;
    case 'failed':
      return `${progress.tool}: can't be had (${progress.how})`;
    case 'waiting':
      return `${progress.tool}: ${elapsed}, ${progress.how}`;
    default:
      return `${progress.tool}: ${elapsed}, fetching it ${progress.why}: ${progress.how}${note}`;
  }
}
