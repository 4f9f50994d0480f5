/** How a migration's workflow is started, by somebody or by a schedule: type, memo, search attributes, texts of the UI. */
import { resolve } from 'node:path';
import { SearchAttributes, WORKFLOW_TYPES } from '../spec/contract.ts';
import type { Migration } from '../spec/migration.ts';
import type { Phase } from '../spec/status.ts';
import { planOf } from '../workflows/plans.ts';
import { describePlan } from '../workflows/status-text.ts';

/** `about.file`: where it was read from, so that errors can name it later. `about.schedule`: whose run it will be. */
export function startOptions(migration: Migration, about: { file?: string | undefined; schedule?: string } = {}) {
  const phase: Phase = 'running';
  return {
    workflowType: WORKFLOW_TYPES[migration.kind],
    memo: {
      kind: migration.kind,
      ...(about.file ? { file: resolve(about.file) } : {}),
      ...(about.schedule ? { schedule: about.schedule } : {}),
    },
    typedSearchAttributes: [
      { key: SearchAttributes.kind, value: migration.kind },
      { key: SearchAttributes.phase, value: phase },
      { key: SearchAttributes.needsOperator, value: false },
    ],
    staticSummary: cut(planOf(migration).summary, 200),
    staticDetails: planDetails(migration),
  };
}

/** The UI sends details in an address, and cuts the last paragraph off (facts/temporal 2): short, closed by a throwaway. */
const LARGEST_DETAILS = 3000;

function planDetails(migration: Migration): string {
  const text = describePlan(planOf(migration));
  if (Buffer.byteLength(text) <= LARGEST_DETAILS) return text;
  const lines = text.split('\n');
  while (Buffer.byteLength(lines.join('\n')) > LARGEST_DETAILS - 80) lines.pop();
  return `${lines.join('\n')}\n\nThe rest: \`cutover plan\`\n\n-`;
}

const cut = (text: string, length: number) => (text.length <= length ? text : `${text.slice(0, length - 1)}…`);
