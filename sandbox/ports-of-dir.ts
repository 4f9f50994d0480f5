import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort } from './runtime/ports.ts';

export interface SandboxPorts {
  temporal: number;
  ui: number;
  aws: number;
  /** The Redis to migrate from. */
  source: number;
  /** An empty Redis, for `engine: replicaof`. */
  target: number;
}

/** Of the sandbox in the default folder: the files in examples/ name them. */
export const DEFAULT_PORTS: Readonly<SandboxPorts> = {
  temporal: 7233,
  ui: 8233,
  aws: 4566,
  source: 6390,
  target: 6391,
};

/** Free ports for all parts. */
export async function freePorts(): Promise<SandboxPorts> {
  return {
    temporal: await freePort(),
    ui: await freePort(),
    aws: await freePort(),
    source: await freePort(),
    target: await freePort(),
  };
}

/** The ports that a sandbox's folder had before, so that they stay the same over a restart; `choose` is for the first time. */
export async function portsOf(dir: string, choose: () => Promise<SandboxPorts> | SandboxPorts): Promise<SandboxPorts> {
  const file = join(dir, 'ports.json');
  if (existsSync(file)) return JSON.parse(readFileSync(file, 'utf8')) as SandboxPorts;
  const ports = await choose();
  mkdirSync(dir, { recursive: true });
  writeFileSync(file, `${JSON.stringify(ports)}\n`);
  return ports;
}
