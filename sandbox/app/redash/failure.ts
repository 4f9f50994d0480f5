/** What a failed transaction means: was it refused, or is it unknown whether it was committed? */
import { DatabaseError } from 'pg';
import { RowMissing } from './transaction.ts';

export interface RedashFailure {
  /** For the count of errors: an SQLSTATE with its name where people know it, a socket's code, or `row missing`. */
  kind: string;
  /** The connection is of no more use. */
  broken: boolean;
}

const KNOWN: Readonly<Record<string, string>> = {
  '23505': 'key conflict',
  '23503': 'foreign key',
  '25006': 'read-only',
  '28000': 'may not log in',
  '28P01': 'may not log in',
  '40P01': 'deadlock',
  '42501': 'no permission',
  '42P01': 'no such table',
  '57P01': 'session ended',
  '57P03': 'starting up',
};

export const KEY_CONFLICT = '23505 key conflict';

export function failureOf(error: unknown): RedashFailure {
  if (error instanceof RowMissing) return { kind: 'row missing', broken: false };
  const { code, message, name }: NodeJS.ErrnoException = error instanceof Error ? error : new Error(String(error));
  if (error instanceof DatabaseError && code !== undefined) {
    const known = KNOWN[code];
    return { kind: known ? `${code} ${known}` : code, broken: error.severity !== 'ERROR' };
  }
  const kind =
    code ??
    (/terminat|closed|ended|not queryable/i.test(message)
      ? 'connection closed'
      : /timeout/i.test(message)
        ? 'timeout'
        : name);
  return { kind, broken: true };
}

/** The server's plain ERROR is its word that nothing was committed. A FATAL one, or silence, is none: it may have been already. */
export function saysNotCommitted(error: unknown): boolean {
  return error instanceof DatabaseError && error.severity === 'ERROR';
}
