/** One activity that runs beside the steps of a runbook: no step, gate or approval cancels it, only its owner does. */
import { CancellationScope } from '@temporalio/workflow';

export interface Beside {
  /** Set once it is over. */
  outcome?: { value: unknown } | { error: unknown };
  /** Fulfilled once it is over, whatever came of it. */
  over: Promise<void>;
  /** Asks it to end; `over` tells when it has. */
  cancel(): void;
}

/**
 * @param shelter a scope that is never cancelled, made where the runbook is made: begun within a step, the activity would
 *   otherwise end with it
 */
export function runBeside(shelter: CancellationScope, body: () => Promise<unknown>): Beside {
  const scope = new CancellationScope({ cancellable: true, parent: shelter });
  const beside: Beside = {
    cancel: () => scope.cancel(),
    over: scope.run(body).then(
      (value) => void (beside.outcome = { value }),
      (error: unknown) => void (beside.outcome = { error }),
    ),
  };
  return beside;
}
