/** What a migration did, for the record. Pure. */
import { ENDED, type CutoverAttempt, type Decision, type MigrationStatus } from '../spec/status.ts';

export interface MigrationReport {
  id: string;
  kind: string;
  summary: string;
  /** `under-way` where it has not ended: the report is then of the time until now. */
  outcome: 'done' | 'aborted' | 'under-way';
  startedAt: string;
  endedAt?: string;
  durationMs: number;
  steps: { id: string; title: string; state: string; tries: number; durationMs?: number; note?: string }[];
  cutovers: CutoverAttempt[];
  /** Of the cutover that switched, as the worker measured it. */
  writePauseMs?: number;
  decisions: Decision[];
  fence: MigrationStatus['fence'];
  leftovers: string[];
  warnings: string[];
  /** What the kind of migration reports itself: preflight, compare counts, snapshot names. */
  details: Record<string, unknown>;
}

export function reportOf(status: MigrationStatus, now = Date.now()): MigrationReport {
  const ended = ENDED.includes(status.phase);
  const switched = status.cutovers.find(({ outcome }) => outcome === 'switched');
  return {
    id: status.id,
    kind: status.kind,
    summary: status.summary,
    outcome: ended ? (status.phase as 'done' | 'aborted') : 'under-way',
    startedAt: status.startedAt,
    ...(status.endedAt ? { endedAt: status.endedAt } : {}),
    durationMs: (status.endedAt ? Date.parse(status.endedAt) : now) - Date.parse(status.startedAt),
    steps: status.steps.map(({ id, title, state, tries, startedAt, endedAt, note }) => ({
      id,
      title,
      state,
      tries,
      ...(startedAt && endedAt ? { durationMs: Date.parse(endedAt) - Date.parse(startedAt) } : {}),
      ...(note ? { note } : {}),
    })),
    cutovers: status.cutovers,
    ...(switched?.writePauseMs === undefined ? {} : { writePauseMs: switched.writePauseMs }),
    decisions: status.decisions,
    fence: status.fence,
    leftovers: status.leftovers,
    warnings: status.warnings,
    details: status.report,
  };
}
