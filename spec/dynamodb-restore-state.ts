/** What a `dynamodb-restore` makes, and how it is known again. */

export interface KeyAttribute {
  name: string;
  type: 'S' | 'N' | 'B';
}

export interface TableKeys {
  partitionKey: KeyAttribute;
  sortKey?: KeyAttribute;
}

/** Decided before anything is made; the same for every sending. Times are ISO. */
export type RestorePlan = {
  /** The new table. */
  table: string;
  keys: TableKeys;
  /** What the source has and a restore does not bring: for an operator. */
  notRestored: string[];
} & (
  | { from: 'point-in-time'; sourceTable: string; sourceArn: string; at: string }
  | {
      from: 'export';
      exportArn: string;
      bucket: string;
      bucketOwner?: string;
      /** `prefix/AWSDynamoDB/<id>/` */
      folder: string;
      /** Of the objects that are imported. */
      dataPrefix: string;
      format: 'DYNAMODB_JSON' | 'ION';
      itemCount: number;
      /** As CreateTable takes them; JSON, because they are only handed on. */
      indexes: string;
    }
);

/** How the table is known to be the one that was made, and no other of its name. */
export interface MadeTable {
  table: string;
  /** ISO: when it was known that there is no table of the name. */
  absentAt: string;
  /** Of the answer. Tables of one name, one after the other, have different ids. */
  tableId?: string;
  importArn?: string;
  /** Where no answer came: what tells ours. */
  token?: string;
  source?: { arn: string; at: string };
}

export interface RestoreVerified {
  /** Read from the new table, end to end. */
  items: number;
  /** The export's; absent for a point in time, of which nothing tells how many there were. */
  expected?: number;
  /** Read back by their keys and found equal. */
  compared: number;
  how: 'full' | 'sample' | 'count';
  note: string;
}
