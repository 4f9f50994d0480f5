/** How long the emulated AWS takes for things, in milliseconds. Fast by default; on AWS it is minutes. */
export interface Timing {
  /** A group stays `creating` at least this long. */
  creating: number;
  /** A group stays `modifying` at least this long, for ModifyReplicationGroup and StartMigration. */
  modifying: number;
  /** How long a primary tries to attach to the customer's node before it gives up and promotes itself back. */
  attach: number;
  /** From an accepted CompleteMigration to the promotion. */
  completing: number;
  /** How long CompleteMigration waits for the data to be in sync before it fails. */
  completeCheck: number;
  /** From a TestMigration call to its event. */
  testing: number;
  /** A snapshot stays `creating`, and its group `snapshotting`, at least this long. */
  snapshotting: number;
  /** A snapshot stays `copying` or `deleting`, a group `deleting`, at least this long. */
  copying: number;
  deleting: number;
  /** From a node's death to its replacement. */
  recovering: number;
  /** A replication instance stays `creating`, a replication task `creating`. */
  dmsCreating: number;
  dmsTaskCreating: number;
  /** A replication instance or task stays `modifying`. */
  dmsModifying: number;
  /** Anything of DMS's stays `deleting` at least this long. */
  dmsDeleting: number;
  /** A connection stays `testing` at least this long. */
  dmsTesting: number;
  /** A task stays `starting`, `stopping` at least this long. */
  dmsStarting: number;
  dmsStopping: number;
  /** An export stays `IN_PROGRESS`, a restored or imported table `CREATING`. */
  dynamodbExporting: number;
  dynamodbRestoring: number;
  /** An image or a volume's snapshot stays `pending`. */
  imagePending: number;
  snapshotPending: number;
  /** A machine stays `pending`, its checks `initializing`, and `stopping` or `shutting-down`. */
  instancePending: number;
  instanceChecks: number;
  instanceStopping: number;
  /** A command stays `Pending`, before it runs for as long as it takes. */
  commandPending: number;
  /** What counts as one second of a command's timeouts: less lets tests see them pass. */
  commandSecond: number;
}

export const DEFAULT_TIMING: Readonly<Timing> = {
  creating: 100,
  modifying: 100,
  // Beyond the 5 s for which a source with default settings waits for more replicas before it begins a diskless sync.
  attach: 20_000,
  completing: 100,
  completeCheck: 1_000,
  testing: 50,
  snapshotting: 100,
  copying: 100,
  deleting: 100,
  recovering: 200,
  dmsCreating: 100,
  dmsTaskCreating: 50,
  dmsModifying: 50,
  dmsDeleting: 50,
  dmsTesting: 50,
  dmsStarting: 50,
  dmsStopping: 50,
  dynamodbExporting: 100,
  dynamodbRestoring: 100,
  imagePending: 100,
  snapshotPending: 100,
  instancePending: 50,
  instanceChecks: 100,
  instanceStopping: 50,
  commandPending: 20,
  commandSecond: 1_000,
};
