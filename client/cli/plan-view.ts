/** A plan as text. */
import pc from 'picocolors';
import type { Plan } from '../../spec/status.ts';
import { tableLines } from './table.ts';

const KIND = { step: '', gate: pc.yellow('gate'), critical: pc.magenta('critical') };

export function planText(id: string, plan: Plan): string {
  const rows = plan.steps.flatMap((step, index) => [
    [String(index + 1), step.id, KIND[step.kind], step.title],
    ...(step.undo ? [['', '', '', pc.dim(`undo: ${step.undo}`)]] : []),
    ...(step.skip ? [['', '', '', pc.dim(`may be skipped: ${step.skip}`)]] : []),
    ...(step.warning ? [['', '', '', pc.yellow(`beware: ${step.warning}`)]] : []),
  ]);
  return [
    `${pc.bold(id)}  ${pc.dim(plan.kind)}  ${plan.summary}`,
    '',
    ...tableLines(undefined, rows),
    ...(plan.warnings.length > 0 ? [''] : []),
    ...plan.warnings.map((warning) => `${pc.yellow('warning')} ${warning}`),
  ].join('\n');
}
