import type { BenchResult } from './result.ts';

export function resultText({ value, unit }: BenchResult): string {
  return `${value.toLocaleString('en-US', { maximumFractionDigits: 3 })} ${unit}`.trim();
}

export function verdictText({ pass }: BenchResult): string {
  if (pass === undefined) return '';
  return pass ? 'pass' : 'FAIL';
}
