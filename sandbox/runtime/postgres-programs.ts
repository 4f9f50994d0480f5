/** Where the Postgres programs are. */
import { existsSync, readdirSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { ToolError } from './tools.ts';

export interface PostgresPrograms {
  initdb: string;
  postgres: string;
}

/** @throws ToolError when there are none. */
// oxlint-disable-next-line typescript/require-await -- it will fetch them where they are not there
export async function postgresPrograms(): Promise<PostgresPrograms> {
  const folders = [
    process.env['CUTOVER_POSTGRES_BIN'] ?? '',
    ...debianFolders(),
    ...(process.env['PATH'] ?? '').split(delimiter),
  ].filter((folder) => folder !== '');
  const found = folders.find((folder) => existsSync(join(folder, 'postgres')) && existsSync(join(folder, 'initdb')));
  if (found === undefined) throw new ToolError(`no initdb and postgres in any of: ${folders.join(', ')}`);
  return { initdb: join(found, 'initdb'), postgres: join(found, 'postgres') };
}

function debianFolders(): string[] {
  const root = '/usr/lib/postgresql';
  if (!existsSync(root)) return [];
  return readdirSync(root)
    .sort((a, b) => Number(b) - Number(a))
    .map((version) => join(root, version, 'bin'));
}
