/**
 * The environment of the servers that the sandbox starts: enough to run, and nothing else.
 *
 * WHY: a developer's shell may hold AWS keys, TEMPORAL_ADDRESS, or AWS_ENDPOINT_URL. A sandbox server must neither see the
 * first nor be turned by the others.
 */
export function serverEnvironment(more: Readonly<Record<string, string>> = {}): NodeJS.ProcessEnv {
  const kept = ['PATH', 'HOME', 'TMPDIR', 'LANG', 'TZ', 'LD_LIBRARY_PATH'];
  const env: NodeJS.ProcessEnv = {};
  for (const key of kept) if (process.env[key] !== undefined) env[key] = process.env[key];
  return { ...env, ...more };
}
