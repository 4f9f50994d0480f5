import type { Cloud } from '../cloud.ts';
import type { Timing } from '../timing.ts';

/** How soon a shorter timing is noticed, milliseconds. */
const NOTICED_MS = 50;

/**
 * Until something has been pending for `takes` milliseconds. A timing that is made shorter meanwhile holds for it too: so
 * that a test can hold things pending for as long as it looks at them, and then let them go on.
 * @param since ISO 8601. @throws Stopped with the sandbox
 */
export async function waitOut(
  cloud: Cloud,
  since: string,
  takes: number,
  timing: keyof Pick<Timing, 'imagePending' | 'snapshotPending' | 'commandPending'>,
): Promise<void> {
  for (;;) {
    const left = Date.parse(since) + Math.min(takes, cloud.timing[timing]) - Date.now();
    if (left <= 0) return;
    await cloud.background.sleep(Math.min(left, NOTICED_MS));
  }
}
