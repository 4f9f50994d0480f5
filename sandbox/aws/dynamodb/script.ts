import type { ExportScript } from './state.ts';

/** AWS's limits that a test cannot wait for, or reach. */
export interface DynamoDbLimits {
  /** Exports of an account at one time; 300 on AWS (facts 3.4). */
  concurrentExports: number;
  /** The window of an incremental export in milliseconds: 15 minutes to 24 hours on AWS. */
  incrementalMin: number;
  incrementalMax: number;
  /** Most items in a data file. On AWS a file is one partition's. */
  itemsPerFile: number;
  /** Partitions of a table: each gives a file of an export, an empty one too. */
  partitions: number;
  /** How far LatestRestorableDateTime is behind the clock, in milliseconds; about five minutes on AWS. */
  restorableLag: number;
}

const DEFAULT_LIMITS: Readonly<DynamoDbLimits> = {
  concurrentExports: 300,
  incrementalMin: 15 * 60_000,
  incrementalMax: 24 * 3_600_000,
  itemsPerFile: 1_000,
  partitions: 2,
  restorableLag: 0,
};

/** What tests and operators ask of DynamoDB beside the faults that every service knows. */
export class DynamoDbScript {
  limits: DynamoDbLimits = { ...DEFAULT_LIMITS };
  #next: { table: string; times: number; script: ExportScript }[] = [];

  /** The next `times` exports of a table, or of any for `*`. Several scripts for one table come together. */
  add(table: string, times: number, script: ExportScript): void {
    this.#next.push({ table, times, script });
  }

  /** What concerns an export of this table; it is used up by this. */
  take(table: string): ExportScript {
    const mine = this.#next.filter((entry) => entry.table === '*' || entry.table === table);
    for (const entry of mine) entry.times -= 1;
    this.#next = this.#next.filter((entry) => entry.times > 0);
    return Object.assign({}, ...mine.map((entry) => entry.script)) as ExportScript;
  }

  reset(): void {
    this.limits = { ...DEFAULT_LIMITS };
    this.#next = [];
  }
}
