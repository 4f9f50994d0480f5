/** Every workflow, by the name under which it is started (spec/contract.ts, WORKFLOW_TYPES). */
export { redisOnline } from './redis-online.ts';
export { elasticacheBackup } from './elasticache-backup.ts';
export { postgres } from './postgres.ts';
export { preflight } from './preflight.ts';
