/** Runs a sandbox for `cutover sandbox up`, and ends it on SIGTERM, SIGINT or SIGHUP. */
import { startSandbox } from './assemble.ts';
import { furnish } from './furnish.ts';
import { freePorts, portsOf, DEFAULT_PORTS, type SandboxPorts } from './ports-of-dir.ts';
import type { ToolProgress } from './runtime/tools.ts';
import { defaultDir, forgetRunning, noteRunning, type SandboxInfo } from './state-file.ts';

export interface SuperviseOptions {
  dir: string;
  ports?: Partial<SandboxPorts> | undefined;
  onProgress?: ((progress: ToolProgress) => void) | undefined;
}

/**
 * Starts everything, furnishes it, and stays: the caller's process is the sandbox from then on.
 * @throws as startSandbox; nothing is left running then
 */
export async function supervise({ dir, ports, onProgress }: SuperviseOptions): Promise<SandboxInfo> {
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
  const sandbox = await startSandbox({ dir, ports: { ...chosen, ...ports }, target: true, onProgress });
  stop = async () => {
    await sandbox.stop();
    forgetRunning(dir);
  };
  try {
    await furnish(sandbox);
  } catch (error) {
    await stop();
    throw error;
  }
  const at = ({ host, port }: { host: string; port: number }): string => `${host}:${port}`;
  const info: SandboxInfo = {
    running: true,
    dir,
    temporal: sandbox.temporal!.address,
    ui: sandbox.temporal!.uiUrl!,
    source: at(sandbox.source!),
    target: at(sandbox.target!),
    aws: sandbox.aws!.url,
    pid: process.pid,
    env: sandbox.env,
  };
  noteRunning(info);
  return info;
}
