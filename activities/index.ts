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
export { copyRedis } from './redis/copy/copy-activity.ts';
export { readNotifications, restoreNotifications, switchOnNotifications } from './redis/copy/switch-notifications.ts';
export { fenceAndDrain, liftSourceFence, proveSourceWritable } from './redis/fence-activities.ts';
export { liftBufferLimit, readBufferLimit, restoreBufferLimit } from './redis/output-buffer.ts';
export { preflightRedisDualWrite } from './redis/dual-write/preflight.ts';
export { awaitDualAcks } from './redis/dual-write/acks.ts';
export { compareDual } from './redis/dual-write/compare-rounds.ts';
export { cleanUpDual, finishDualWrite } from './redis/dual-write/end.ts';
export { commitDual, holdDual, judgeDual, releaseDual, stepBackDual } from './redis/dual-write/move.ts';
export { beginDualWrite, sourceOffDual, sourceOnlyDual } from './redis/dual-write/phases.ts';
export { tendDual } from './redis/dual-write/tend.ts';
export { preflightRedisOffline } from './redis/offline/preflight.ts';
export { preflightRedisOnline } from './redis/preflight/preflight.ts';
export { giveUpReplicaOf, replicaOfOutcome } from './redis/promotion-outcome.ts';
export { switchOver } from './redis/switch-over.ts';
export { watchSync } from './redis/watch-sync.ts';
export { awaitExport } from './dynamodb/await-export.ts';
export { exportsLeft } from './dynamodb/exports-left.ts';
export { planExports } from './dynamodb/plan-exports.ts';
export { awaitRecovery, disableRecovery, enableRecovery, tablesWithoutRecovery } from './dynamodb/recovery.ts';
export { deleteExportObjects, planExportRetention } from './dynamodb/retire-exports.ts';
export { resolveExportSettings } from './dynamodb/settings.ts';
export { startExport } from './dynamodb/start-export.ts';
export { verifyExport } from './dynamodb/verify-export.ts';
export { preflightDynamoDbExport } from './dynamodb/export-preflight.ts';
export { awaitTable } from './dynamodb/await-table.ts';
export { compareRestored } from './dynamodb/compare-restored.ts';
export { removeMadeTable, tagMadeTable } from './dynamodb/made-table.ts';
export { planTableRestore } from './dynamodb/plan-restore.ts';
export { startRestore } from './dynamodb/restore-table.ts';
export { preflightDynamoDbRestore } from './dynamodb/restore-preflight.ts';
export { preflightElastiCacheRestore } from './elasticache/restore-preflight.ts';
export { preflightElastiCacheRetire } from './elasticache/retire-preflight.ts';
export { preflightMachineBackup } from './machine/backup-preflight.ts';
export { preflightMachineRestore } from './machine/restore-preflight.ts';
export { terminateMachine } from './machine/terminate.ts';
export { runMachineStep } from './machine/run-step.ts';
export { awaitMachineAgent, awaitMachineChecks } from './machine/await-checks.ts';
export { awaitMachineRunning, launchMachine } from './machine/launch.ts';
export { chooseMachineBackup } from './machine/choose-backup.ts';
export { cleanUpItem as cleanUpMachineItem, listCleanUp as listMachineCleanUp } from './machine/clean-up.ts';
export { retainMachineBackups } from './machine/retain-backups.ts';
export {
  machineBackupFailed,
  markMachineBackup,
  removeMachineBackup,
  removeOtherCalls as removeOtherMachineSnapshots,
} from './machine/remove-backup.ts';
export { awaitMachineBackup, verifyMachineBackup } from './machine/await-backup.ts';
export { takeMachineBackup } from './machine/take-backup.ts';
export { lookAtMachine } from './machine/look.ts';
export { freezeMachine, thawMachine } from './machine/freeze.ts';
export { listCatalogue } from './catalogue/list.ts';
export { applyDaily, readDaily } from './elasticache/daily.ts';
export { exportSnapshot, removeExport } from './elasticache/export-snapshot.ts';
export { applySnapshotRetention } from './elasticache/snapshot-retention.ts';
export { awaitRetired, deleteGroupFinally, retireState, tagFinalSnapshot } from './elasticache/retire.ts';
export { watchGroup } from './elasticache/watch-group.ts';
export { clearBroken, removeMadeGroup } from './elasticache/made-group.ts';
export { awaitRestored, createRestored, planGroupRestore } from './elasticache/restore-group.ts';
export { verifyRestored } from './elasticache/restore-verify.ts';
export { grantRdbRead } from './redis/rdb/grant.ts';
export { removeRdb } from './redis/rdb/remove.ts';
export { saveRdb } from './redis/rdb/save.ts';
export { uploadRdb } from './redis/rdb/upload.ts';
export { fenceSource, requireFence } from './redis/offline/fence.ts';
export { requireLoadable as requireLoadableRdb } from './redis/offline/loadable.ts';
export { writesSinceRdb } from './redis/offline/loss.ts';
export { watchFenceable, watchOffline } from './redis/offline/watch.ts';
export { fenceAndDrainCopy } from './redis/follow/fence-and-drain.ts';
export { followCopy } from './redis/follow/follow-activity.ts';
export { closeCopy, forgetCopy, letGoOfCopyTarget, takeCopyTarget } from './redis/follow/take-target.ts';
export { watchCopy } from './redis/follow/watch-copy.ts';
