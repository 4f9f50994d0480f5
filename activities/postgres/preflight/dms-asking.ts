/** What the checks of AWS DMS ask by. */
import { awsFailure } from '../../aws/failure.ts';
import { CannotCheck } from '../../preflight/check.ts';
import type { PostgresContext } from './context.ts';

export const aws = (c: PostgresContext) => c.migration.replication.aws;
export const existing = ({ migration: { replication } }: PostgresContext) =>
  'existing' in replication.instance ? replication.instance.existing : undefined;

/** An answer of AWS's. @throws CannotCheck; that AWS can't be asked at all is D.api's to tell */
export async function ask<T>(what: string, call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    throw new CannotCheck(`${awsFailure(error, what).message} (see D.api)`);
  }
}
