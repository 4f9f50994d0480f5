/** `cutover preflight`: the checks of a migration's first step, alone. Changes nothing. */
import { ApplicationFailure } from '@temporalio/workflow';
import type { MigrationInput } from '../spec/contract.ts';
import { ErrorType } from '../spec/errors.ts';
import type { PreflightReport } from '../spec/preflight.ts';
import { activityProxies } from './activity-options.ts';

export async function preflight(input: MigrationInput): Promise<PreflightReport> {
  const act = activityProxies(input);
  const { migration } = input;
  switch (migration.kind) {
    case 'redis-online':
      return act.quick.preflightRedisOnline.executeWithOptions({ summary: 'preflight checks' }, [{ migration }]);
    case 'elasticache-backup':
      return act.quick.preflightBackup.executeWithOptions({ summary: 'preflight checks' }, [{ migration }]);
    case 'postgres':
      return act.quick.preflightPostgres.executeWithOptions({ summary: 'preflight checks' }, [{ migration }]);
    default:
      throw ApplicationFailure.nonRetryable(
        `no preflight for ${(migration as { kind: string }).kind}`,
        ErrorType.invalid,
      );
  }
}
