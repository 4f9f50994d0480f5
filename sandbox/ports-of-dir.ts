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
  /** The Postgres to migrate from, and the one that stands for RDS. */
  postgresSource: number;
  postgresTarget: number;
  /** The application that writes to them: its own HTTP address, for hooks and checks. */
  redash: number;
}

/** Of the sandbox in the default folder: the files in examples/ name them. */
export const DEFAULT_PORTS: Readonly<SandboxPorts> = {
  temporal: 7233,
  ui: 8233,
  aws: 4566,
  source: 6390,
  target: 6391,
  postgresSource: 5433,
  postgresTarget: 5434,
  redash: 5435,
};

const PARTS = Object.keys(DEFAULT_PORTS) as (keyof SandboxPorts)[];

/** Free ports for all parts. */
export async function freePorts(): Promise<SandboxPorts> {
  return {
    temporal: await freePort(),
    ui: await freePort(),
    aws: await freePort(),
    source: await freePort(),
    target: await freePort(),
    postgresSource: await freePort(),
    postgresTarget: await freePort(),
    redash: await freePort(),
  };
}

/**
 * The ports that a sandbox's folder had before, so that they stay the same over a restart; `choose` is for the first time, and
 * for the parts that an older sandbox of this folder did not have.
 */
export async function portsOf(dir: string, choose: () => Promise<SandboxPorts> | SandboxPorts): Promise<SandboxPorts> {
  const file = join(dir, 'ports.json');
  const kept = existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Partial<SandboxPorts>) : {};
  if (PARTS.every((part) => kept[part] !== undefined)) return kept as SandboxPorts;
  const ports = { ...(await choose()), ...kept };
  mkdirSync(dir, { recursive: true });
  writeFileSync(file, `${JSON.stringify(ports)}\n`);
  return ports;
}
