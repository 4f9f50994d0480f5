/** How often AWS is asked while something is waited for. */

/** Most things take minutes, and most services allow a few calls a second to a whole account; ms. */
export const POLL_MS = 5_000;

/**
 * ms; CUTOVER_AWS_POLL_MS of the worker's environment changes it, for a sandbox or for a very large fleet. `usual` is for a
 * service that allows fewer calls.
 */
export function pollInterval(usual = POLL_MS): number {
  const given = Number(process.env['CUTOVER_AWS_POLL_MS']);
  return Number.isFinite(given) && given > 0 ? given : usual;
}
