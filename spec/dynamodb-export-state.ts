/** What is known of each table of a `dynamodb-export`, in its plan, its status and its result. */

/** Decided before the export is begun; the same for every sending of it. Times are ISO. */
export interface TableExportPlan {
  /** As the file has it: name or ARN. */
  table: string;
  tableName?: string;
  tableArn?: string;
  /** Absent with `now`. */
  asked?: string;
  /** The point in time that is exported; of an increment its end. */
  exportTime?: string;
  /** The same with the offset of the file's zone. */
  shownTime?: string;
  /** Why `exportTime` is not what was asked for. */
  moved?: string;
  prefix?: string;
  /** `base`: the ARN of the export that it goes on from, with `last-export`. */
  incremental?: { from: string; to: string; view: 'NEW_IMAGE' | 'NEW_AND_OLD_IMAGES'; base?: string };
  /** Newer exports that are not whole, so that the increment begins before them, with why. */
  passedOver?: string;
  window?: { earliest: string; latest: string };
  /** It can't be exported. */
  error?: string;
}

export interface VerifiedExport {
  /** Of the manifest and DescribeExport, and with `full` as many lines as were read. */
  itemCount: number;
  files: number;
  /** Of the data files as they are in S3. */
  bytes: number;
  how: 'full' | 'objects';
  /** Key of manifest-summary.json. */
  manifest: string;
  billedSizeBytes?: number;
}

export type TableExportState = 'planned' | 'running' | 'verifying' | 'done' | 'failed';

/** Under `report.tables`, by table: kept over retries and continue-as-new. */
export interface TableExport {
  state: TableExportState;
  /** 1 at first; one more for each retry by an operator. */
  attempt: number;
  plan: TableExportPlan;
  exportArn?: string;
  verified?: VerifiedExport;
  startedAt?: string;
  endedAt?: string;
  error?: string;
  /** It was asked for, and no answer came: it may have been begun. */
  unanswered?: boolean;
}

/** Under `report.result`: the article's shape. */
export interface ExportResult {
  successfulExports: {
    tableName: string;
    exportArn: string;
    exportTime: string;
    s3Location: string;
    itemCount: number;
    files: number;
    bytes: number;
    manifest: string;
    verified: 'full' | 'objects';
    /** Of an increment: where it begins (ISO), and which export it goes on from. */
    increment?: { from: string; base?: string };
  }[];
  failedExports: { tableName: string; error: string; exportArn?: string }[];
}
