import { expect, test } from 'vitest';
import type { MigrationStatus, Plan } from '../spec/status.ts';
import { describePlan, describeStatus } from '../workflows/status-text.ts';

// Seen in the Temporal UI 2.42: an unescaped `<script>` hid every row after it, and a pipe made a column.
const NASTY = 'a | b <script>\nsecond_line *x* \\';
const ESCAPED = 'a \\| b \\<script> second\\_line \\*x\\* \\\\';

test('what a file, a server or an error says stays text in the Temporal UI', () => {
  const status = {
    id: 'shop',
    phase: 'needs-operator',
    step: 'switch',
    operator: { reason: NASTY, remedy: NASTY, choices: ['retry'] },
    progress: { text: NASTY },
    fence: { state: 'closed', detail: NASTY },
    steps: [
      { id: 'switch', title: NASTY, state: 'failed', note: NASTY },
      { id: 'soak', title: 'Watch', state: 'pending' },
    ],
    warnings: [NASTY],
  } as unknown as MigrationStatus;
  const text = describeStatus(status);
  expect(text).toContain(`needs the operator at switch: ${ESCAPED}`);
  expect(text).toContain(`Remedy: ${ESCAPED}\n`);
  expect(text).toContain(`| ✘ | ${ESCAPED} | ${ESCAPED} |\n| · | Watch |  |`);
  expect(text).toContain(`- ${ESCAPED}\n`);
  expect(text.split('\n').filter((line) => line === 'second_line *x* \\')).toEqual([]);
});

test('so does the plan', () => {
  const plan = {
    summary: NASTY,
    warnings: [NASTY],
    steps: [
      { id: 'switch', title: NASTY, undo: NASTY },
      { id: 'soak', title: 'Watch' },
    ],
  } as unknown as Plan;
  expect(describePlan(plan)).toBe(
    `**${ESCAPED}**\n\n- ${ESCAPED}\n\n| step | what | undo |\n|---|---|---|\n| switch | ${ESCAPED} | ${ESCAPED} |\n| soak | Watch | - |\n\n-`,
  );
});
