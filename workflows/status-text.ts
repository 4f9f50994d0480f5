/** The status as markdown, for the details of the Temporal UI. Pure. */
import type { MigrationStatus, Plan, Progress } from '../spec/status.ts';

// The UI cuts the last paragraph off (facts/temporal 2), so the answer comes first and a throwaway closes the text.
const CLIPPED = '\n\n-';

const MARK: Record<string, string> = {
  pending: '·',
  running: '▶',
  done: '✔',
  skipped: '↷',
  failed: '✘',
  undone: '↶',
};

/**
 * What came from a file, a server or an error, as plain text: an unescaped `<script>` makes the UI drop all that follows,
 * and a new line ends a table.
 */
const plain = (text: string) => text.replaceAll(/\s*\n\s*/g, ' ').replaceAll(/[\\<*_`|[\]]/g, '\\$&');

/** One sentence: where it is, and what it waits for. */
export function headline(status: MigrationStatus): string {
  const at = status.step ? ` at ${status.step}` : '';
  switch (status.phase) {
    case 'waiting':
      return status.gate?.ready
        ? `waits for approval of ${status.gate.id}`
        : `waits at ${status.gate?.id}: ${status.gate?.notReady ?? 'no reading yet'}`;
    case 'needs-operator':
      return `needs the operator${at}: ${status.operator?.reason ?? ''}`;
    case 'in-doubt':
      return `in doubt${at}: ${status.operator?.reason ?? status.fence.detail ?? ''}`;
    case 'paused':
      return `paused by ${status.pausedBy?.by ?? 'an operator'}, before ${status.step ?? 'the first step'}`;
    case 'critical':
      return `critical section${at}: writes are held back`;
    default:
      return `${status.phase}${at}`;
  }
}

function progressText(progress: Progress): string {
  const parts = [progress.text];
  if (progress.lagBytes !== undefined) parts.push(`lag ${progress.lagBytes} bytes`);
  if (progress.etaMs !== undefined) parts.push(`about ${Math.ceil(progress.etaMs / 1000)} s left`);
  return parts.join(', ');
}

export function describeStatus(status: MigrationStatus): string {
  const lines = [`**${plain(headline(status))}**`, ''];
  if (status.progress) lines.push(plain(progressText(status.progress)), '');
  if (status.operator) {
    if (status.operator.remedy) lines.push(`Remedy: ${plain(status.operator.remedy)}`, '');
    lines.push(`It takes: ${status.operator.choices.map((c) => `\`cutover ${c} ${status.id}\``).join(', ')}`, '');
  }
  if (status.gate) {
    const confirm = status.gate.confirm === undefined ? '' : ' --confirm NAME';
    const command = status.gate.ready ? `\`cutover approve ${status.id}${confirm}\`` : 'not yet';
    lines.push(`Approve: ${command}`, '');
  }
  if (status.fence.state !== 'none')
    lines.push(`Fence: ${status.fence.state}. ${plain(status.fence.detail ?? '')}`, '');
  lines.push('| | step | note |', '|---|---|---|');
  for (const step of status.steps)
    lines.push(`| ${MARK[step.state]} | ${plain(step.title)} | ${plain(step.note ?? '')} |`);
  const warnings = status.warnings.slice(-3).map((w) => `- ${plain(w)}`);
  if (warnings.length > 0) lines.push('', ...warnings);
  return lines.join('\n') + CLIPPED;
}

/** The plan as markdown: static details in the UI. */
export function describePlan(plan: Plan): string {
  const lines = [`**${plain(plan.summary)}**`, ''];
  for (const warning of plan.warnings) lines.push(`- ${plain(warning)}`);
  lines.push('', '| step | what | undo |', '|---|---|---|');
  for (const step of plan.steps) lines.push(`| ${step.id} | ${plain(step.title)} | ${plain(step.undo ?? '-')} |`);
  return lines.join('\n') + CLIPPED;
}
