/** The plan of each kind. Pure: a plan can be shown without a server. */
import type { Migration } from '../spec/migration.ts';
import type { Plan } from '../spec/status.ts';
import { elasticacheBackupPlan } from './elasticache-backup-plan.ts';
import { dmsSteps } from './postgres-dms-plan.ts';
import { postgresPlan } from './postgres-plan.ts';
import { redisOnlinePlan } from './redis-online-plan.ts';

export function planOf(migration: Migration): Plan {
  switch (migration.kind) {
    case 'redis-online':
      return redisOnlinePlan(migration);
    case 'elasticache-backup':
      return elasticacheBackupPlan(migration);
    case 'postgres':
      return postgresPlan(migration, dmsSteps(migration));
  }
}
