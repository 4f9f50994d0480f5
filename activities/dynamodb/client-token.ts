/**
 * The ClientToken of what we ask DynamoDB for. It is what makes a call idempotent (for 8 hours, facts/redis-aws 3.4), and,
 * as exports and imports carry no tags, the only mark by which our own are known again. Not a secret.
 */
import { createHash } from 'node:crypto';

export interface TokenOf {
  /** The file's id. */
  migrationId: string;
  /** workflows/run-identity.ts */
  run: string;
  /** What is exported or made: a table's ARN or name. */
  subject: string;
  /** Counts up where an operator asks for another try: the same token would give the failed one back. */
  attempt: number;
}

export function clientToken({ migrationId, run, subject, attempt }: TokenOf): string {
  const of = createHash('sha256').update(subject).digest('hex').slice(0, 12);
  return `cutover/${migrationId}/${run}/${of}/${attempt}`;
}

/** Whose it is; undefined where cutover did not make it. */
export function madeBy(token: string | undefined): { migration: string; run: string } | undefined {
  const parts = token?.split('/');
  if (parts?.length !== 5 || parts[0] !== 'cutover') return undefined;
  return { migration: parts[1]!, run: parts[2]! };
}
