/** What the validation knows of one table. */
import type { ValidationFigures } from './statistics.ts';
import type { Key } from './validation-sql.ts';

export type FailureType = 'RECORD_DIFF' | 'MISSING_SOURCE' | 'MISSING_TARGET';

export class ValidatedTable {
  /** Keys that differ, or whose row was changed since it was compared. By their JSON. */
  readonly pending = new Map<string, Key>();
  readonly failed = new Map<string, FailureType>();
  scanned = false;
  scanning = false;
  again = false;
  suspended = false;
  error: string | undefined;

  touch(key: Key): void {
    if (!this.suspended) this.pending.set(JSON.stringify(key), key);
  }

  restart(): void {
    this.pending.clear();
    this.failed.clear();
    Object.assign(this, { scanned: false, scanning: false, suspended: false, again: true, error: undefined });
  }

  /** Nothing more is to be expected of it unless rows change. */
  get settled(): boolean {
    return this.suspended || this.error !== undefined || (this.scanned && this.pending.size === 0);
  }

  figures(): ValidationFigures {
    return {
      ValidationState: this.stateName(),
      ValidationPendingRecords: this.suspended ? 0 : this.pending.size,
      ValidationFailedRecords: this.failed.size,
      ValidationSuspendedRecords: this.suspended ? this.pending.size : 0,
      ...(this.error === undefined ? {} : { ValidationStateDetails: this.error }),
    };
  }

  private stateName(): string {
    if (this.error !== undefined) return 'Error';
    if (this.suspended) return 'Suspended records';
    if (!this.scanned && !this.scanning) return this.again ? 'Pending revalidation' : 'Pending validation';
    if (this.failed.size > 0) return 'Mismatched records';
    return !this.scanned || this.pending.size > 0 ? 'Pending records' : 'Validated';
  }
}
