/** pg_dump of a schema: its own program, for nobody else knows every kind of object of every version. */
import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { rootCertificates } from 'node:tls';
import { Context } from '@temporalio/activity';
import { ErrorType } from '../../spec/errors.ts';
import { OWN_SCHEMA } from '../../spec/postgres-plan.ts';
import type { PostgresEndpoint } from '../../spec/values.ts';
import type { AwsTarget } from '../aws/clients.ts';
import { permanent, transient } from '../errors.ts';
import { redact } from '../secrets/redact.ts';
import { resolveSecret } from '../secrets/resolve.ts';
import { whereIs } from './connect.ts';
import { parseToc, type TocEntry } from './dump-toc.ts';
import { majorOf } from './server-version.ts';

const SHOWN = 1_000;
const LOCK_WAIT = '30s';

/** The program: CUTOVER_PG_DUMP, or pg_dump on the path. */
function pgDumpProgram(): string {
  return process.env['CUTOVER_PG_DUMP'] || 'pg_dump';
}

/** The major version of the worker's pg_dump. @throws cutover.NotFound where there is none */
async function pgDumpMajor(): Promise<number> {
  const text = (await run(['--version'], { PATH: process.env['PATH'] })).toString('utf8');
  const found = /(\d+)(?:\.(\d+))?/.exec(text);
  const major = Number(found?.[1]);
  if (!found || Number.isNaN(major)) {
    throw permanent(ErrorType.invalid, `${pgDumpProgram()} --version answered: ${text.slice(0, 100)}`);
  }
  return major >= 10 ? major : Number(`${found[1]}.${found[2] ?? 0}`);
}

/**
 * pg_dump refuses a server that is newer than itself. It reads both sides, so it must not be older than either.
 * @throws cutover.Invalid
 */
export async function requirePgDump(versions: { source: number; target: number }): Promise<void> {
  const have = await pgDumpMajor();
  const need = Math.max(majorOf(versions.source), majorOf(versions.target));
  if (have >= need) return;
  throw permanent(ErrorType.invalid, `${pgDumpProgram()} is of version ${have}, and a server of version ${need}`, {
    remedy: `install postgresql-client-${need} on the worker, and name its pg_dump: CUTOVER_PG_DUMP=/usr/lib/postgresql/${need}/bin/pg_dump`,
  });
}

/**
 * The schema's objects, in an order in which they can be created. Our own schema and DMS's tables are left out.
 * @throws cutover.Denied, cutover.Unreachable, cutover.Invalid with pg_dump's own words
 */
export async function dumpSchema(endpoint: PostgresEndpoint, name: string, aws?: AwsTarget): Promise<TocEntry[]> {
  const folder = await mkdtemp(join(tmpdir(), 'cutover-dump-'));
  try {
    const archive = await run(
      [
        '--format=custom',
        '--compress=0',
        '--schema-only',
        '--no-publications',
        '--no-subscriptions',
        '--no-security-labels',
        '--no-password',
        `--lock-wait-timeout=${LOCK_WAIT}`,
        `--exclude-schema=${OWN_SCHEMA}`,
      ],
      await environment(endpoint, name, folder, aws),
      whereIs(endpoint),
    );
    return parseToc(archive).filter(({ kind, tag }) => !NOT_OBJECTS.has(kind) && !tag.startsWith('awsdms_'));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Settings of the dump, and of the database as a whole. */
const NOT_OBJECTS = new Set([
  'ENCODING',
  'STDSTRINGS',
  'SEARCHPATH',
  'DATABASE',
  'DATABASE PROPERTIES',
  'BLOB',
  'BLOBS',
]);

/** Never in the arguments: every user of the machine sees those. */
async function environment(
  endpoint: PostgresEndpoint,
  name: string,
  folder: string,
  aws?: AwsTarget,
): Promise<NodeJS.ProcessEnv> {
  const password = endpoint.password ? await resolveSecret(endpoint.password, aws) : undefined;
  return {
    PATH: process.env['PATH'],
    HOME: process.env['HOME'],
    LC_ALL: 'C.UTF-8',
    PGHOST: endpoint.host,
    PGPORT: String(endpoint.port),
    PGUSER: endpoint.user,
    PGDATABASE: endpoint.database,
    PGAPPNAME: name,
    PGCONNECT_TIMEOUT: '10',
    PGCLIENTENCODING: 'UTF8',
    ...(password === undefined ? {} : { PGPASSWORD: password }),
    ...(await tlsEnvironment(endpoint, folder)),
  };
}

async function tlsEnvironment(endpoint: PostgresEndpoint, folder: string): Promise<NodeJS.ProcessEnv> {
  if (!endpoint.tls) return { PGSSLMODE: 'disable' };
  const { ca, serverName } = typeof endpoint.tls === 'object' ? endpoint.tls : {};
  // With another name in the certificate than the host's, libpq can only be told to check who signed it.
  const mode = serverName ? 'verify-ca' : 'verify-full';
  if (ca) return { PGSSLMODE: mode, PGSSLROOTCERT: ca };
  // libpq has no authorities of its own before version 16: it is given those that Node goes by.
  const file = join(folder, 'roots.pem');
  await writeFile(file, rootCertificates.join('\n'), { mode: 0o600 });
  return { PGSSLMODE: mode, PGSSLROOTCERT: file };
}

async function run(args: string[], env: NodeJS.ProcessEnv, where?: string): Promise<Buffer> {
  const program = pgDumpProgram();
  const child = spawn(program, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
  const { cancellationSignal } = Context.current();
  const stop = () => child.kill('SIGTERM');
  cancellationSignal.addEventListener('abort', stop, { once: true });
  try {
    const out: Buffer[] = [];
    let errors = '';
    child.stdout.on('data', (chunk: Buffer) => out.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => {
      if (errors.length < 64_000) errors += chunk.toString('utf8');
    });
    const code = await new Promise<number | null>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', resolve);
    });
    if (code === 0) return Buffer.concat(out);
    throw failed(redact(errors), code, where);
  } catch (error) {
    if (error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'EACCES')) {
      throw permanent(ErrorType.notFound, `${program} can't be started on the worker: ${error.code}`, {
        remedy:
          'install the Postgres client (apt-get install postgresql-client), or name it: CUTOVER_PG_DUMP=/path/pg_dump',
      });
    }
    throw error;
  } finally {
    cancellationSignal.removeEventListener('abort', stop);
  }
}

function failed(text: string, code: number | null, where = 'the worker'): Error {
  const message = `pg_dump of ${where} ended with ${code ?? 'a signal'}: ${text.trim().slice(-SHOWN)}`;
  if (/password authentication|permission denied|no pg_hba\.conf entry|no password supplied/i.test(text)) {
    return permanent(ErrorType.denied, message, {
      remedy:
        'pg_dump locks every table: GRANT SELECT on all of them, and USAGE on their schemas, to the worker’s role',
    });
  }
  if (/server version|aborting because of server version mismatch/i.test(text)) {
    return permanent(ErrorType.invalid, message, { remedy: 'install a newer Postgres client on the worker' });
  }
  if (
    /could not connect|connection to server|terminating connection|lock timeout|shutting down|starting up/i.test(text)
  ) {
    return transient(ErrorType.unreachable, message);
  }
  return permanent(ErrorType.serviceFailed, message);
}
