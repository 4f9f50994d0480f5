/** Runs a sandbox for `cutover sandbox up`, and ends it on SIGTERM, SIGINT or SIGHUP. */
import { REDASH_DATABASE, WORKER_ROLE } from './app/redash/roles.ts';
import { startSandbox } from './assemble.ts';
import { furnish, type Furnished } from './furnish.ts';
import { freePorts, portsOf, DEFAULT_PORTS, type SandboxPorts } from './ports-of-dir.ts';
import type { ToolProgress } from './runtime/tools.ts';
import { defaultDir, forgetRunning, noteRunning, type SandboxInfo } from './state-file.ts';

export interface SuperviseOptions {
  dir: string;
  ports?: Partial<SandboxPorts> | undefined;
  /** Default true. */
  postgres?: boolean | undefined;
  onProgress?: ((progress: ToolProgress) => void) | undefined;
  /** Told what is being done, a line at a time. */
  say?: ((line: string) => void) | undefined;
}

/**
 * Starts everything, furnishes it, and stays: the caller's process is the sandbox from then on.
 * @throws as startSandbox; nothing is left running then
 */
export async function supervise(options: SuperviseOptions): Promise<SandboxInfo> {
  const { dir, ports, postgres = true, onProgress, say = () => {} } = options;
  let stopping = false;
  let stop: () => Promise<void> = async () => {};
  const end = (): void => {
    if (stopping) return;
    stopping = true;
    stop().then(
      () => process.exit(0),
      (error: unknown) => {
        process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
        process.exit(1);
      },
    );
  };
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, end);

  const chosen = await portsOf(dir, async () => ({
    ...(dir === defaultDir() ? DEFAULT_PORTS : await freePorts()),
    ...ports,
  }));
  const inUse = { ...chosen, ...ports };
  say(`starting Temporal, two Redis servers, ${postgres ? 'two Postgres servers, ' : ''}a local AWS`);
  const sandbox = await startSandbox({ dir, ports: inUse, target: true, postgres, onProgress });
  let furnished: Furnished | undefined;
  stop = async () => {
    await furnished?.stop();
    await sandbox.stop();
    forgetRunning(dir);
  };
  try {
    furnished = await furnish(sandbox, { redashPort: inUse.redash, say });
  } catch (error) {
    await stop();
    throw error;
  }
  const at = ({ host, port }: { host: string; port: number }): string => `${host}:${port}`;
  // For psql, as the worker's role, with its password in PGPASSWORD.
  const database = ({ host, port }: { host: string; port: number }): string =>
    `postgresql://${WORKER_ROLE}@${host}:${port}/${REDASH_DATABASE}`;
  const info: SandboxInfo = {
    running: true,
    dir,
    temporal: sandbox.temporal!.address,
    ui: sandbox.temporal!.uiUrl!,
    source: at(sandbox.source!),
    target: at(sandbox.target!),
    aws: sandbox.aws!.url,
    ...(sandbox.postgres === undefined
      ? {}
      : {
          postgresSource: database(sandbox.postgres.source),
          postgresTarget: database(sandbox.postgres.target),
          redash: furnished.redashUrl!,
        }),
    pid: process.pid,
    env: sandbox.env,
  };
  noteRunning(info);
  return info;
}
