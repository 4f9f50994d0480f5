import { setTimeout as delay } from 'node:timers/promises';
import type { CutoverResult } from './stage.ts';

/** `cutover …` with the demo's environment. */
export type RunCutover = (args: string[], more?: { expect?: number[]; show?: boolean }) => Promise<CutoverResult>;

interface Status {
  phase: string;
  gate?: { ready: boolean; notReady?: string };
  operator?: { reason: string; remedy?: string };
}

/**
 * `watch` ends as soon as the gate is reached; to be ready, it must have seen that the target is in sync.
 * @throws Error where the migration needs its operator, or the gate is not ready within `limitMs`
 */
export async function untilGateIsReady(id: string, run: RunCutover, limitMs: number): Promise<void> {
  const deadline = Date.now() + limitMs;
  for (;;) {
    const { stdout } = await run(['status', id, '--json'], { expect: [0, 3], show: false });
    const { phase, gate, operator } = JSON.parse(stdout) as Status;
    if (phase === 'needs-operator')
      throw new Error(`the migration needs its operator: ${operator?.reason}\n${operator?.remedy ?? ''}`);
    if (gate?.ready) return;
    if (Date.now() > deadline)
      throw new Error(`the gate is not ready after ${limitMs / 1000} s: ${gate?.notReady ?? phase}`);
    await delay(200);
  }
}
