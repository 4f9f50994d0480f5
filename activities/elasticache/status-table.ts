/**
 * What every status string of ElastiCache means (facts/redis-aws 3.1, 3.3). Status is a free string in the API and AWS
 * adds to it: an unknown one is "pending, with a warning", never an error (terraform-provider-aws fails there again and
 * again).
 */

/** - `ask`: neither time nor a retry mends it; an operator has to look. */
export type StatusMeaning = 'pending' | 'ok' | 'failed' | 'ask';

export interface StatusReading {
  meaning: StatusMeaning;
  /** Set where the string is not in the table. */
  warning?: string;
}

const GROUP: Readonly<Record<string, StatusMeaning>> = {
  available: 'ok',
  creating: 'pending',
  modifying: 'pending',
  migrating: 'pending',
  snapshotting: 'pending',
  deleting: 'failed',
  deleted: 'failed',
  'create-failed': 'failed',
};

const NODE: Readonly<Record<string, StatusMeaning>> = {
  available: 'ok',
  creating: 'pending',
  modifying: 'pending',
  migrating: 'pending',
  snapshotting: 'pending',
  'rebooting cluster nodes': 'pending',
  deleting: 'failed',
  deleted: 'failed',
  'create-failed': 'failed',
  // The seed did not fit: the node never recovers and must be deleted (ECdocs/backups-seeding-redis).
  'restore-failed': 'failed',
  'incompatible-network': 'ask',
};

const SNAPSHOT: Readonly<Record<string, StatusMeaning>> = {
  available: 'ok',
  creating: 'pending',
  copying: 'pending',
  restoring: 'pending',
  deleting: 'failed',
};

function read(table: Readonly<Record<string, StatusMeaning>>, what: string, status: string | undefined): StatusReading {
  const meaning = status === undefined ? undefined : new Map(Object.entries(table)).get(status.toLowerCase());
  if (meaning) return { meaning };
  return { meaning: 'pending', warning: `unknown status of ${what}: ${status ?? '(none)'}; taken as not ready yet` };
}

export const groupStatusMeaning = (id: string, status?: string) => read(GROUP, `replication group ${id}`, status);
export const nodeStatusMeaning = (id: string, status?: string) => read(NODE, `cache cluster ${id}`, status);
export const snapshotStatusMeaning = (name: string, status?: string) => read(SNAPSHOT, `snapshot ${name}`, status);
