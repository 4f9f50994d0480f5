/** What each status of DynamoDB's means. One table per resource; a status that is not in it is waited out, and told. */

export type Meaning = 'pending' | 'ok' | 'failed' | 'ask';

export interface StatusMeaning {
  meaning: Meaning;
  /** Set where AWS has a status that this table has not. */
  warning?: string;
}

/** ExportStatus [model, client-dynamodb 3.1162]. */
const EXPORT: Record<string, Meaning> = { IN_PROGRESS: 'pending', COMPLETED: 'ok', FAILED: 'failed' };

/** ImportStatus. CANCELLED: somebody or something ended it, and we did not. */
const IMPORT: Record<string, Meaning> = {
  IN_PROGRESS: 'pending',
  COMPLETED: 'ok',
  CANCELLING: 'pending',
  CANCELLED: 'failed',
  FAILED: 'failed',
};

/** TableStatus. */
const TABLE: Record<string, Meaning> = {
  CREATING: 'pending',
  UPDATING: 'pending',
  ACTIVE: 'ok',
  DELETING: 'failed',
  INACCESSIBLE_ENCRYPTION_CREDENTIALS: 'ask',
  ARCHIVING: 'ask',
  ARCHIVED: 'ask',
  REPLICATION_NOT_AUTHORIZED: 'ask',
};

export const exportMeaning = (status: string | undefined) => meaningOf('export', EXPORT, status);
export const importMeaning = (status: string | undefined) => meaningOf('import', IMPORT, status);
export const tableMeaning = (status: string | undefined) => meaningOf('table', TABLE, status);

function meaningOf(what: string, table: Record<string, Meaning>, status: string | undefined): StatusMeaning {
  const meaning = status !== undefined && Object.hasOwn(table, status) ? table[status] : undefined;
  if (meaning) return { meaning };
  return {
    meaning: 'pending',
    warning: `DynamoDB says of the ${what}: ${status ?? 'nothing'}, which is not known here`,
  };
}
