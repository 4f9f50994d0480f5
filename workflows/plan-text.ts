/** Words that the plans of several kinds have in common. Pure. */
import type { GateOptions, GateReading } from './gate.ts';

/** `900 ms`, `30 s`. */
export const seconds = (ms: number) => (ms < 1000 ? `${ms} ms` : `${ms / 1000} s`);

/** What opens a gate: `an operator approves`. */
export function gateOpens(gate: GateOptions<GateReading>['opens']): string {
  if (gate === 'manual') return 'an operator approves';
  return gate === 'auto' ? 'it opens by itself' : `between ${gate.from} and ${gate.to}`;
}
