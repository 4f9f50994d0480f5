/** Where the Postgres programs are. */
import { dirname, join } from 'node:path';
import { ensureTool, type EnsureToolOptions } from './tools.ts';

export interface PostgresPrograms {
  initdb: string;
  postgres: string;
}

/** @throws ToolError when they can't be had. */
export async function postgresPrograms(options: EnsureToolOptions = {}): Promise<PostgresPrograms> {
  const { path } = await ensureTool('postgres', options);
  return { initdb: join(dirname(path), 'initdb'), postgres: path };
}
