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
    case 'redis-offline':
      return act.quick.preflightRedisOffline.executeWithOptions({ summary: 'preflight checks' }, [{ migration }]);
    case 'redis-dual-write':
      return act.quick.preflightRedisDualWrite.executeWithOptions({ summary: 'preflight checks' }, [{ migration }]);
    case 'elasticache-backup':
      return act.quick.preflightBackup.executeWithOptions({ summary: 'preflight checks' }, [{ migration }]);
    case 'postgres':
      return act.quick.preflightPostgres.executeWithOptions({ summary: 'preflight checks' }, [{ migration }]);
    case 'elasticache-restore':
      return act.quick.preflightElastiCacheRestore.executeWithOptions({ summary: 'preflight checks' }, [{ migration }]);
    case 'elasticache-retire':
      return act.quick.preflightElastiCacheRetire.executeWithOptions({ summary: 'preflight checks' }, [{ migration }]);
    case 'dynamodb-export':
      return act.quick.preflightDynamoDbExport.executeWithOptions({ summary: 'preflight checks' }, [{ migration }]);
    case 'dynamodb-restore':
      return act.quick.preflightDynamoDbRestore.executeWithOptions({ summary: 'preflight checks' }, [{ migration }]);
    case 'machine-backup':
      return act.quick.preflightMachineBackup.executeWithOptions({ summary: 'preflight checks' }, [{ migration }]);
    case 'machine-restore':
      return act.quick.preflightMachineRestore.executeWithOptions({ summary: 'preflight checks' }, [{ migration }]);
    default:
      throw ApplicationFailure.nonRetryable(
        `no preflight for ${(migration as { kind: string }).kind}`,
        ErrorType.invalid,
      );
  }
}
