/** Which checks there are, in the order of the report. */
import { applicationRoleChecks } from './application-role-checks.ts';
import { bothSidesChecks } from './both-sides-checks.ts';
import { columnChecks } from './column-checks.ts';
import type { PostgresCheck, PostgresContext } from './context.ts';
import { dmsChecks } from './dms-checks.ts';
import { dmsRoleChecks } from './dms-role-checks.ts';
import { objectChecks } from './object-checks.ts';
import { replicaModeChecks } from './replica-mode-checks.ts';
import { serverChecks } from './server-checks.ts';
import { slotChecks } from './slot-checks.ts';
import { newTablesCheck, tableChecks } from './table-checks.ts';
import { targetChecks } from './target-checks.ts';
import { taskChecks } from './task-checks.ts';
import { transactionChecks } from './transaction-checks.ts';
import { valueChecks } from './value-checks.ts';
import { headroomChecks } from './wal-headroom.ts';
import { workerRoleChecks } from './worker-role-checks.ts';

const checks: readonly PostgresCheck[] = [
  ...serverChecks,
  ...bothSidesChecks,
  ...workerRoleChecks,
  ...dmsRoleChecks,
  ...applicationRoleChecks,
  ...transactionChecks,
  ...slotChecks,
  ...tableChecks,
  ...columnChecks,
  ...objectChecks,
  ...valueChecks,
  ...headroomChecks,
  ...targetChecks,
  ...replicaModeChecks,
  ...taskChecks,
  ...dmsChecks,
];

/** Before the fence, the cheap ones; at the start, all. */
export function checksFor({ moment, plan }: PostgresContext): PostgresCheck[] {
  const all = plan ? [...checks, newTablesCheck] : checks;
  return all.filter(({ cheap }) => moment === 'start' || cheap);
}
