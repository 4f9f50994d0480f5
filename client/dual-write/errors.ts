/** What the library refuses or could not do. Every error says whether a write took place. */

/** The base of all of them. `written`: did the authority take the write? undefined: it can't be known. */
export class DualWriteError extends Error {
  readonly written: boolean | undefined;
  constructor(name: string, message: string, written: boolean | undefined, cause?: unknown) {
    super(`dual write: ${message}`, cause === undefined ? {} : { cause });
    this.name = name;
    this.written = written;
  }
}

/** The command can't be kept equal on two servers, or not known to be. Nothing was sent. */
export function notSupported(command: string, why: string): DualWriteError {
  return new DualWriteError('DualWriteNotSupported', `${command.toUpperCase()} is refused: ${why}`, false);
}

/** This instance does not know which phase holds. Nothing was sent. */
export function leaseLost(why: string): DualWriteError {
  return new DualWriteError('DualWriteLeaseLost', `nothing is sent: ${why}`, false);
}

/** It waited in a hold, or for the connection, for too long or behind too many. Nothing was sent. */
export function notSent(why: string): DualWriteError {
  return new DualWriteError('DualWriteNotSent', `not sent: ${why}`, false);
}

/** No answer in time: it may have taken place, or still take place, on that side. Its keys are in the journal if it did. */
export function timedOut(command: string, side: string, ms: number): DualWriteError {
  return new DualWriteError(
    'DualWriteTimeout',
    `${command.toUpperCase()} was not answered by the ${side} within ${ms} ms; the connection was cut`,
    undefined,
  );
}

/** The authority has the write, the journal names its keys; the second side has not taken it (policy `fail`). */
export class SecondWriteFailed extends DualWriteError {
  /** What the authority answered. */
  readonly reply: unknown;
  constructor(command: string, side: string, reply: unknown, cause: unknown) {
    super(
      'DualWriteSecondWriteFailed',
      `${command.toUpperCase()} took place on the authority, but not on the ${side}: ${textOf(cause)}. The repair will carry it over; sending it again would do it twice`,
      true,
      cause,
    );
    this.reply = reply;
  }
}

/** The authority has the write, but its journal has not taken the key: a full compare is needed. */
export function notJournaled(command: string, cause: unknown): DualWriteError {
  return new DualWriteError(
    'DualWriteNotJournaled',
    `${command.toUpperCase()} took place on the authority, but its journal refused the key: ${textOf(cause)}. Compare the two sides in full`,
    true,
    cause,
  );
}

export const textOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** The server's own refusal: it understood, and (scripts and transactions aside) did nothing. */
export const isReplyError = (error: unknown): error is Error => error instanceof Error && error.name === 'ReplyError';
