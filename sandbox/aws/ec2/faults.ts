import { AwsFault } from '../faults.ts';

export function invalid(message: string): AwsFault {
  return new AwsFault('InvalidParameterValue', message);
}

export function invalidCombination(message: string): AwsFault {
  return new AwsFault('InvalidParameterCombination', message);
}

export function missing(parameter: string): AwsFault {
  return new AwsFault('MissingParameter', `The request must contain the parameter ${parameter}`);
}

export function incorrectState(message: string): AwsFault {
  return new AwsFault('IncorrectInstanceState', message);
}

/** The answer to a call with DryRun that would have been carried out. */
function dryRun(): AwsFault {
  return new AwsFault('DryRunOperation', 'Request would have succeeded, but DryRun flag is set.', 412);
}

/** Called when all else of the input is checked, and before anything is changed. @throws AwsFault DryRunOperation */
export function stopIfDryRun(input: { DryRun?: boolean | undefined }): void {
  if (input.DryRun === true) throw dryRun();
}
