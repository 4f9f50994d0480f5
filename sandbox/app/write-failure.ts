/** What a failed write means: was it refused, or is it unknown whether it was applied? */
import { TornTransaction } from './operations.ts';

export interface WriteFailure {
  /** For the count of errors: NOREPLICAS, READONLY, ECONNREFUSED … */
  kind: string;
  /** No answer came, so it may have been applied. */
  ambiguous: boolean;
  /** The connection is of no more use. */
  broken: boolean;
}

/** @param sent whether the command was handed to a connection that was up */
export function failureOf(error: unknown, sent: boolean): WriteFailure {
  const { name, message, code }: NodeJS.ErrnoException = error instanceof Error ? error : new Error(String(error));
  if (error instanceof TornTransaction) return { kind: 'TORN', ambiguous: true, broken: false };
  if (name === 'ReplyError') {
    const kind = /^[A-Z]+/.exec(message)?.[0] ?? 'ERR';
    return { kind, ambiguous: false, broken: false };
  }
  const unsent = !sent || /enableOfflineQueue/.test(message);
  const timedOut = /timed out/i.test(message);
  const kind = timedOut ? 'timeout' : (code ?? (/clos/i.test(message) ? 'connection closed' : name));
  return { kind, ambiguous: !unsent, broken: true };
}
