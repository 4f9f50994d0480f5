/** Every workflow, by the name under which it is started (spec/contract.ts, WORKFLOW_TYPES). */
export { redisOnline } from './redis-online.ts';
export { redisOffline } from './redis-offline.ts';
export { redisDualWrite } from './redis-dual-write.ts';
export { elasticacheBackup } from './elasticache-backup.ts';
export { elasticacheRestore } from './elasticache-restore.ts';
export { elasticacheRetire } from './elasticache-retire.ts';
export { dynamodbExport } from './dynamodb-export.ts';
export { dynamodbRestore } from './dynamodb-restore.ts';
export { machineBackup } from './machine-backup.ts';
export { machineRestore } from './machine-restore.ts';
export { catalogue } from './catalogue.ts';
export { postgres } from './postgres.ts';
export { preflight } from './preflight.ts';
