import { Context } from '@temporalio/activity';

/** The activity's. Absent outside of one, where tests and scripts call it. */
export function cancellation(): AbortSignal | undefined {
  try {
    return Context.current().cancellationSignal;
  } catch {
    return undefined;
  }
}
