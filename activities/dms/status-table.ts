/**
 * What every status string of DMS means (facts/postgres-dms 4.1). They are free strings in the API: an unknown one is
 * "pending, with a warning", never an error and never success.
 */

/** - `ask`: neither time nor a retry mends it; an operator has to look. */
export type StatusMeaning = 'pending' | 'ok' | 'failed' | 'ask';

export interface StatusReading {
  meaning: StatusMeaning;
  /** Set where the string is not in the table. */
  warning?: string;
}

type Table = Readonly<Record<string, StatusMeaning>>;

/** For: may be used. */
const INSTANCE: Table = {
  available: 'ok',
  creating: 'pending',
  modifying: 'pending',
  upgrading: 'pending',
  rebooting: 'pending',
  'resetting-master-credentials': 'pending',
  maintenance: 'pending',
  deleting: 'failed',
  deleted: 'failed',
  failed: 'failed',
  'storage-full': 'ask',
  'incompatible-credentials': 'ask',
  'incompatible-network': 'ask',
  'inaccessible-encryption-credentials': 'ask',
};

const ENDPOINT: Table = {
  active: 'ok',
  creating: 'pending',
  modifying: 'pending',
  testing: 'pending',
  deleting: 'failed',
  failed: 'failed',
};

const CONNECTION: Table = { successful: 'ok', testing: 'pending', failed: 'failed', deleting: 'pending' };

/** For: is there, and at rest, so that it can be started or modified. */
const TASK_AT_REST: Table = {
  ready: 'ok',
  stopped: 'ok',
  // A task that failed can be modified, resumed and deleted like a stopped one.
  failed: 'ok',
  'failed-move': 'ok',
  creating: 'pending',
  modifying: 'pending',
  moving: 'pending',
  starting: 'pending',
  running: 'pending',
  stopping: 'pending',
  testing: 'pending',
  deleting: 'failed',
};

/** For: moves rows. Whether `stopped` is an end that was asked for is told by the StopReason. */
const TASK_RUNNING: Table = {
  running: 'ok',
  starting: 'pending',
  creating: 'pending',
  modifying: 'pending',
  moving: 'pending',
  testing: 'pending',
  ready: 'pending',
  stopping: 'failed',
  stopped: 'failed',
  failed: 'failed',
  'failed-move': 'failed',
  deleting: 'failed',
};

function read(table: Table, what: string, status: string | undefined): StatusReading {
  const meaning = status === undefined ? undefined : new Map(Object.entries(table)).get(status.toLowerCase());
  if (meaning) return { meaning };
  return { meaning: 'pending', warning: `unknown status of ${what}: ${status ?? '(none)'}; taken as not ready yet` };
}

export const instanceStatus = (id: string, status?: string) => read(INSTANCE, `replication instance ${id}`, status);
export const endpointStatus = (id: string, status?: string) => read(ENDPOINT, `endpoint ${id}`, status);
export const connectionStatus = (id: string, status?: string) => read(CONNECTION, `connection of ${id}`, status);
export const taskAtRest = (id: string, status?: string) => read(TASK_AT_REST, `replication task ${id}`, status);
export const taskRunning = (id: string, status?: string) => read(TASK_RUNNING, `replication task ${id}`, status);

/**
 * - `load-done`: stopped after the load, as the settings ask; goes on by a resume
 * - `asked`: stopped by a call
 * - `ended`: the task thinks that it is through, which one with CDC never is
 * - `again`: DMS stops and starts it by itself
 * - `broken`: failed; a resume may help once the cause is mended
 * - `ask`: unknown
 */
export type StopMeaning = 'load-done' | 'asked' | 'ended' | 'again' | 'broken' | 'ask';

const STOP: Readonly<Record<string, StopMeaning>> = {
  NORMAL: 'asked',
  STOPPED_AFTER_CACHED_EVENTS: 'load-done',
  STOPPED_AFTER_FULL_LOAD: 'load-done',
  FULL_LOAD_ONLY_FINISHED: 'ended',
  STOPPED_AT_SERVER_TIME: 'ended',
  STOPPED_AT_COMMIT_TIME: 'ended',
  RECONFIGURATION_RESTART: 'again',
  RECYCLE_TASK: 'again',
  RECOVERABLE_ERROR: 'broken',
  FATAL_ERROR: 'broken',
  STOPPED_AFTER_DDL_APPLY: 'broken',
  STOPPED_DUE_TO_LOW_MEMORY: 'broken',
  STOPPED_DUE_TO_LOW_DISK: 'broken',
  EXPRESS_LICENSE_LIMITS_REACHED: 'broken',
};

/** @param reason as the API has it, with or without `Stop Reason ` before it */
export function stopMeaning(reason: string | undefined): StopMeaning {
  const bare = (reason ?? '').replace(/^Stop Reason\s+/i, '').trim();
  return new Map(Object.entries(STOP)).get(bare) ?? 'ask';
}

export type TableMeaning = 'waiting' | 'loading' | 'loaded' | 'failed';

const TABLE_STATE: Readonly<Record<string, TableMeaning>> = {
  'before load': 'waiting',
  'full load': 'loading',
  'table is being reloaded': 'loading',
  'table completed': 'loaded',
  'table all': 'loading',
  'table updates': 'loaded',
  'table cancelled': 'failed',
  'table error': 'failed',
  'table does not exist': 'failed',
};

/** An unknown state is taken as under way. */
export function tableMeaning(state: string | undefined): TableMeaning {
  return new Map(Object.entries(TABLE_STATE)).get((state ?? '').toLowerCase()) ?? 'loading';
}

/** - `unprovable`: DMS does not compare this table; our own checksum has to. */
export type ValidationMeaning = 'validated' | 'pending' | 'failed' | 'suspended' | 'unprovable' | 'off';

const VALIDATION: Readonly<Record<string, ValidationMeaning>> = {
  'not enabled': 'off',
  validated: 'validated',
  'pending records': 'pending',
  'pending validation': 'pending',
  'preparing table': 'pending',
  'pending revalidation': 'pending',
  'mismatched records': 'failed',
  'table error': 'failed',
  error: 'failed',
  'suspended records': 'suspended',
  'no primary key': 'unprovable',
};

export function validationMeaning(state: string | undefined): ValidationMeaning {
  return new Map(Object.entries(VALIDATION)).get((state ?? '').toLowerCase()) ?? 'pending';
}
