/** The mend that a failure of ours carries. */
import { ApplicationFailure } from '@temporalio/common';

export function remedyOf(error: unknown): string | undefined {
  if (!(error instanceof ApplicationFailure)) return undefined;
  const details = error.details?.[0] as { remedy?: string } | undefined;
  return details?.remedy;
}
