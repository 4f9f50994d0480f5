/** How often DynamoDB is asked while something is waited for. */

/** ms. Exports and restores take minutes at the least; DescribeExport may be called ten times a second per account. */
const POLL_MS = 5_000;

/** ms; CUTOVER_AWS_POLL_MS of the worker's environment, as for every service. */
export function pollInterval(): number {
  return Number(process.env['CUTOVER_AWS_POLL_MS'] ?? POLL_MS);
}
