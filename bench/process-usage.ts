/** What a process uses, all its threads together, as the kernel counts it: nothing is measured inside of the process. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

export interface Usage {
  /** CPU time since its start, user and system, seconds; good to a hundredth. */
  cpuSeconds: number;
  rssMiB: number;
  /** The most resident memory of its life. */
  peakRssMiB: number;
  /** When it was read, ms, by performance.now(). */
  at: number;
}

let ticksPerSecond: number | undefined;

/** @throws Error where there is no such process, or no /proc (Linux has one) */
export function usageOf(pid: number): Usage {
  ticksPerSecond ??= Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }));
  // The second field is the program's name in brackets, and may hold anything.
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /s, '')
    .split(' ');
  const [user, system] = [Number(stat[11]), Number(stat[12])];
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const kib = (field: string): number => Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]);
  return {
    cpuSeconds: (user + system) / ticksPerSecond,
    rssMiB: kib('VmRSS') / 1024,
    peakRssMiB: kib('VmHWM') / 1024,
    at: performance.now(),
  };
}

/** How many cores it kept busy between two readings, on average. */
export function coresBetween(before: Usage, after: Usage): number {
  return (after.cpuSeconds - before.cpuSeconds) / ((after.at - before.at) / 1000);
}
