/** The worker's log: a JSON object a line on stderr, without secrets and without the SDK's task tokens. */
import type { LogEntry } from '@temporalio/worker';
import { redact } from '../activities/secrets/redact.ts';

export function writeLogLine(entry: LogEntry): void {
  const { taskToken: _long, ...meta } = (entry.meta ?? {}) as Record<string, unknown>;
  const line = {
    time: new Date(Number(entry.timestampNanos / 1_000_000n)).toISOString(),
    level: entry.level,
    message: entry.message,
    ...meta,
  };
  process.stderr.write(`${redact(JSON.stringify(line, plain))}\n`);
}

function plain(_key: string, value: unknown): unknown {
  if (value instanceof Error) return { name: value.name, message: value.message, stack: value.stack };
  return typeof value === 'bigint' ? value.toString() : value;
}
