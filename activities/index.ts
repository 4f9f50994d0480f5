/** Every activity, by the name under which workflows call it. A name here is in the histories of running migrations. */
export { runFunctionalChecks } from './checks/functional-checks.ts';
export { cleanUpDms } from './dms/clean-up.ts';
export { testDmsConnections } from './dms/connections.ts';
export { drainDms } from './dms/drain.ts';
export { ensureDmsEndpoints } from './dms/endpoints.ts';
export { ensureDmsInstance } from './dms/instance.ts';
export { leaveOutDmsTable } from './dms/leave-out.ts';
export { awaitDmsReload, reloadDmsTables } from './dms/reload.ts';
export { resumeDms, startDms } from './dms/start.ts';
export { pauseDms, stopDms } from './dms/stop.ts';
export { ensureDmsTask } from './dms/task.ts';
export { watchDms } from './dms/watch.ts';
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
export { prepareHooks, runHooks, undoHooks } from './hooks/run-hooks.ts';
export { copyAhead, copyByHand } from './postgres/copy-by-hand.ts';
export { fencePostgres, liftPostgresFence, provePostgresSourceWritable } from './postgres/fence-activities.ts';
export { dropForeignKeysTo, validateForeignKeys } from './postgres/foreign-keys.ts';
export { closeTargetIfUnwritten, openTarget } from './postgres/opening.ts';
export { prepareOwnSchema, removeOwnSchema } from './postgres/own-schema.ts';
export { preflightPostgres } from './postgres/preflight/preflight.ts';
export { compareSchema, copySchema } from './postgres/schema-copy.ts';
export { finishSchema } from './postgres/schema-finish.ts';
export { removeTargetTables } from './postgres/schema-remove.ts';
export { setSequences } from './postgres/sequences.ts';
export { planTables } from './postgres/tables.ts';
export { analyzeTarget, makeTargetReady } from './postgres/target-ready.ts';
export { verifyTables } from './postgres/verify.ts';
export { watchPostgresTarget } from './postgres/watch-target.ts';
export { canaryOnTarget, forgetSourceCredentials, readFinalState, watchPrimary } from './redis/after-switch.ts';
export { attachReplicaOf, detachReplicaOf } from './redis/attach-replicaof.ts';
export { compareRedis } from './redis/compare-activity.ts';
export { fenceAndDrain, liftSourceFence, proveSourceWritable } from './redis/fence-activities.ts';
export { liftBufferLimit, readBufferLimit, restoreBufferLimit } from './redis/output-buffer.ts';
export { preflightRedisOnline } from './redis/preflight/preflight.ts';
export { giveUpReplicaOf, replicaOfOutcome } from './redis/promotion-outcome.ts';
export { switchOver } from './redis/switch-over.ts';
export { watchSync } from './redis/watch-sync.ts';
