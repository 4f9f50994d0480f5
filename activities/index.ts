/** Every activity, by the name under which workflows call it. A name here is in the histories of running migrations. */
export {
  attachGroup,
  claimForMigration,
  detachGroup,
  groupWatermark,
  releaseGroup,
  testGroupMigration,
} from './elasticache/attach-group.ts';
export { preflightBackup } from './elasticache/backup-preflight.ts';
export { awaitGroupSnapshot, removeSnapshot, verifySnapshot } from './elasticache/backup.ts';
export { completeGroupMigration, groupOutcome } from './elasticache/complete-cutover.ts';
export { eventWatermark as backupWatermark } from './elasticache/events.ts';
export { createSnapshot, planSnapshot as planGroupSnapshot } from './elasticache/snapshot.ts';
export { prepareHooks, runHooks } from './hooks/run-hooks.ts';
export { canaryOnTarget, forgetSourceCredentials, readFinalState, watchPrimary } from './redis/after-switch.ts';
export { attachReplicaOf, detachReplicaOf } from './redis/attach-replicaof.ts';
export { compareRedis } from './redis/compare-activity.ts';
export { fenceAndDrain, liftSourceFence, proveSourceWritable } from './redis/fence-activities.ts';
export { liftBufferLimit, readBufferLimit, restoreBufferLimit } from './redis/output-buffer.ts';
export { preflightRedisOnline } from './redis/preflight/preflight.ts';
export { giveUpReplicaOf, replicaOfOutcome } from './redis/promotion-outcome.ts';
export { switchOver } from './redis/switch-over.ts';
export { watchSync } from './redis/watch-sync.ts';
