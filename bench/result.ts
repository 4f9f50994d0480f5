/** What a bench gives back, and how it is called. */

export interface BenchResult {
  name: string;
  value: number;
  unit: string;
  /** What it must be, in words; absent for figures that only inform. */
  target?: string;
  pass?: boolean;
}

export interface BenchOptions {
  /** Fewer rounds and smaller data: shows that it works, and no more. */
  quick: boolean;
  /** Tells a person how far it is. */
  say: (text: string) => void;
}

/** One file's benches. */
export type Bench = (options: BenchOptions) => Promise<BenchResult[]>;

/** One bench's run, and what was going on meanwhile. */
export interface BenchRun {
  name: string;
  /** ISO time of its start. */
  at: string;
  seconds: number;
  /** Of the whole machine, over the last minute; the servers of the bench itself are in the second one. */
  loadBefore: number;
  loadAfter: number;
  results: BenchResult[];
}

/** A figure that must be at most `limit`. The unrounded one is judged. */
export function atMost(name: string, value: number, limit: number, unit: string, digits = 0): BenchResult {
  return { name, value: rounded(value, digits), unit, target: `≤ ${limit}`, pass: value <= limit };
}

/** A figure that only informs. */
export function figure(name: string, value: number, unit: string, digits = 0): BenchResult {
  return { name, value: rounded(value, digits), unit };
}

function rounded(value: number, digits: number): number {
  return Math.round(value * 10 ** digits) / 10 ** digits;
}

/** @throws RangeError for an empty list: NaN would pass for a figure */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const [low, high] = [sorted[(sorted.length - 1) >> 1], sorted[sorted.length >> 1]];
  if (low === undefined || high === undefined) throw new RangeError('the median of nothing');
  return (low + high) / 2;
}
