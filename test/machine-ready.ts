/**
 * Runs once before all tests, in vitest's own process: what they run is fetched here, so that minutes of `go install` on a
 * new machine don't count against a test's deadline.
 */
import { ensureTool, terminalProgress, type ToolName } from '../sandbox/runtime/tools.ts';

const NEEDED: ToolName[] = ['temporal', 'redis-server', 'postgres', 'pg_dump'];
/** Only some tests use these: they fail by themselves, and name what is missing. */
const USED_BY_SOME: ToolName[] = ['moto', 'valkey-server'];

/** @throws ToolError where Temporal, Redis or Postgres can't be had, with the command that installs it. */
export default async function makeReady(): Promise<void> {
  stayLocal(process.env);
  const onProgress = terminalProgress();
  for (const name of NEEDED) await ensureTool(name, { onProgress });
  for (const name of USED_BY_SOME) {
    await ensureTool(name, { onProgress }).catch((error: unknown) =>
      console.warn(error instanceof Error ? error.message : error),
    );
  }
}

/**
 * The tests' processes inherit this environment. A developer's own TEMPORAL_ADDRESS, AWS profile or files in the home
 * folder would lead a test that forgot to name its server to a real one.
 */
function stayLocal(env: NodeJS.ProcessEnv): void {
  for (const name of Object.keys(env)) {
    if (/^(AWS_|TEMPORAL_|CUTOVER_)/.test(name) && name !== 'TEMPORAL_CLI_PATH' && name !== 'CUTOVER_CACHE')
      delete env[name];
  }
  env['TEMPORAL_CONFIG_FILE'] = '/nonexistent/temporal.toml'; // An empty file, and so /dev/null, crashes @temporalio/envconfig 1.24.
  env['AWS_CONFIG_FILE'] = '/dev/null';
  env['AWS_SHARED_CREDENTIALS_FILE'] = '/dev/null';
  env['AWS_EC2_METADATA_DISABLED'] = 'true';
}
