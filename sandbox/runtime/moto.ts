import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { LOOPBACK, assertPortFree, freePort } from './ports.ts';
import { startProcess } from './process.ts';
import type { ProcessExit } from './process.ts';
import { serverEnvironment } from './server-environment.ts';
import { ensureTool } from './tools.ts';
import type { ToolProgress } from './tools.ts';

export interface MotoServer {
  /** For AWS_ENDPOINT_URL, e.g. http://127.0.0.1:12345 */
  readonly url: string;
  readonly port: number;
  readonly pid: number;
  readonly logFile: string;
  readonly exited: Promise<ProcessExit>;
  stop(): Promise<void>;
  kill(): Promise<void>;
}

/**
 * Starts moto's server for the AWS services that it does well (facts/redis-aws 6). Its first use on a machine installs it,
 * which takes about a minute. Moto keeps its state in memory: it is gone with the process.
 * @throws ToolError when it can't be had, ProcessStartError when it does not come up.
 */
export async function startMoto(options: {
  dir: string;
  port?: number;
  onProgress?: ((progress: ToolProgress) => void) | undefined;
}): Promise<MotoServer> {
  const tool = await ensureTool('moto', { onProgress: options.onProgress });
  const port = options.port ?? (await freePort());
  const url = `http://${LOOPBACK}:${port}`;
  mkdirSync(options.dir, { recursive: true });
  await assertPortFree(port, 'moto');
  const running = await startProcess({
    name: `moto:${port}`,
    command: tool.path,
    args: [...tool.args, '-H', LOOPBACK, '-p', String(port)],
    env: serverEnvironment(),
    cwd: options.dir,
    logFile: join(options.dir, 'moto.log'),
    ready: async () => (await fetch(`${url}/moto-api/data.json`, { signal: AbortSignal.timeout(5_000) })).ok,
  });
  return {
    url,
    port,
    pid: running.pid,
    logFile: running.logFile,
    exited: running.exited,
    stop: () => running.stop(),
    kill: () => running.kill(),
  };
}
