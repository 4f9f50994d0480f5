/** The plan of each kind. Pure: a plan can be shown without a server. */
import type { Migration } from '../spec/migration.ts';
import type { Plan } from '../spec/status.ts';
import { elasticacheBackupPlan } from './elasticache-backup-plan.ts';
import { elasticacheRestorePlan } from './elasticache-restore-plan.ts';
import { elasticacheRetirePlan } from './elasticache-retire-plan.ts';
import { dynamodbExportPlan } from './dynamodb-export-plan.ts';
import { dynamodbRestorePlan } from './dynamodb-restore-plan.ts';
import { machineBackupPlan } from './machine-backup-plan.ts';
import { machineRestorePlan } from './machine-restore-plan.ts';
import { dmsSteps } from './postgres-dms-plan.ts';
import { postgresPlan } from './postgres-plan.ts';
import { redisDualWritePlan } from './redis-dual-write-plan.ts';
import { redisOfflinePlan } from './redis-offline-plan.ts';
import { redisOnlinePlan } from './redis-online-plan.ts';

export function planOf(migration: Migration): Plan {
  switch (migration.kind) {
    case 'redis-online':
      return redisOnlinePlan(migration);
    case 'redis-offline':
      return redisOfflinePlan(migration);
    case 'redis-dual-write':
      return redisDualWritePlan(migration);
    case 'elasticache-backup':
      return elasticacheBackupPlan(migration);
    case 'postgres':
      return postgresPlan(migration, dmsSteps(migration));
    case 'elasticache-restore':
      return elasticacheRestorePlan(migration);
    case 'elasticache-retire':
      return elasticacheRetirePlan(migration);
    case 'dynamodb-export':
      return dynamodbExportPlan(migration);
    case 'dynamodb-restore':
      return dynamodbRestorePlan(migration);
    case 'machine-backup':
      return machineBackupPlan(migration);
    case 'machine-restore':
      return machineRestorePlan(migration);
  }
}
