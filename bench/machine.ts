/** What a figure was measured on: without it, it means nothing. */
import { arch, cpus, loadavg, release, totalmem } from 'node:os';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { ensureTool } from '../sandbox/runtime/tools.ts';

export interface Machine {
  hardware: string;
  versions: string;
}

/** @throws ToolError where Redis or Temporal can't be had */
export async function describeMachine(): Promise<Machine> {
  const [temporal, redis] = await Promise.all([ensureTool('temporal'), ensureTool('redis-server')]);
  const model = cpus()[0]?.model.trim() ?? 'unknown processor';
  const memory = Math.round(totalmem() / 1024 ** 3);
  const sdk = createRequire(import.meta.url).resolve('@temporalio/worker/package.json');
  const { version } = JSON.parse(readFileSync(sdk, 'utf8')) as { version: string };
  return {
    hardware: `${cpus().length} × ${model}, ${memory} GiB, Linux ${release()} ${arch()}`,
    versions: `Node ${process.versions.node}, Temporal CLI ${temporal.version}, Temporal SDK ${version}, ${redis.flavour ?? 'redis'} ${redis.version}`,
  };
}

/** Of the last minute. */
export function load(): number {
  return Math.round(loadavg()[0]! * 10) / 10;
}
