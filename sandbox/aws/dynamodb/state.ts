/**
 * What the sandbox remembers of DynamoDB beside moto, which has the tables and their items. Plain JSON, written at every
 * change. Moto's memory is lost with its process: what is kept here of a table that moto no longer has is then only a record.
 */
export interface DynamoDbState {
  /** By ARN. */
  exports: Record<string, ExportState>;
  imports: Record<string, ImportState>;
  /** Tables with point-in-time recovery on, by name. */
  recovery: Record<string, RecoveryState>;
  /** Tables that a restore or an import made, by name: moto knows nothing of their states. */
  made: Record<string, MadeTableState>;
  /** The TableId of each table, by name, with moto's CreationDateTime of the table that it belongs to. */
  tableIds: Record<string, { created: string; id: string }>;
  /** Added to the machine's clock, in milliseconds: AWS's windows are hours. */
  clockOffset: number;
}

export interface RecoveryState {
  tableName: string;
  tableArn: string;
  /** Another table of the same name has another one, and no point-in-time recovery. */
  tableId: string;
  /** Attributes of the primary key, the partition key first. */
  keys: string[];
  /** ISO 8601. */
  enabledAt: string;
  recoveryDays: number;
  /** The journal's file below the sandbox's folder; another one each time it is switched on. */
  journal: string;
}

/** A change window: from is in it, to is not. ISO 8601. */
export interface IncrementalState {
  from: string;
  to: string;
  view: 'NEW_IMAGE' | 'NEW_AND_OLD_IMAGES';
}

export interface ExportState {
  arn: string;
  id: string;
  status: 'IN_PROGRESS' | 'COMPLETED' | 'FAILED';
  startTime: string;
  endTime?: string;
  tableArn: string;
  tableName: string;
  tableId: string;
  keys: string[];
  journal: string;
  /** Of a full export. */
  exportTime?: string;
  /** Of an incremental export. */
  incremental?: IncrementalState;
  clientToken?: string;
  /** The request without its token, to tell the same request from another one with the same token. */
  request: string;
  bucket: string;
  bucketOwner?: string;
  prefix?: string;
  sseAlgorithm: 'AES256' | 'KMS';
  kmsKeyId?: string;
  /** Key of manifest-summary.json. */
  manifest?: string;
  itemCount?: number;
  billedBytes?: number;
  failureCode?: string;
  failureMessage?: string;
  /** What was scripted for it, in the order of the request: kept, because a restart does not make it well again. */
  script: ExportScript;
}

export interface ExportScript {
  fail?: { code: string; message: string };
  /** Milliseconds that it stays IN_PROGRESS, in place of the timing's. */
  lasts?: number;
  /** Added to the itemCount of manifest-summary.json, and of the first line of manifest-files.json. */
  summaryCountOff?: number;
  fileCountOff?: number;
}

export interface ImportState {
  arn: string;
  status: 'IN_PROGRESS' | 'COMPLETED' | 'FAILED';
  startTime: string;
  endTime?: string;
  tableName: string;
  tableArn: string;
  tableId: string;
  clientToken?: string;
  request: string;
  bucket: string;
  bucketOwner?: string;
  keyPrefix?: string;
  compression: 'NONE' | 'GZIP';
  /** As it came: it is shown again by DescribeImport. */
  table: Record<string, unknown>;
  errorCount: number;
  processedBytes: number;
  processedItems: number;
  importedItems: number;
  failureCode?: string;
  failureMessage?: string;
}

export interface MadeTableState {
  tableName: string;
  tableId: string;
  status: 'CREATING' | 'ACTIVE';
  /** Of a table that a restore made. */
  restore?: { sourceTableArn: string; sourceTableId: string; at: string; journal: string; keys: string[] };
}

export function emptyDynamoDbState(): DynamoDbState {
  return { exports: {}, imports: {}, recovery: {}, made: {}, tableIds: {}, clockOffset: 0 };
}
