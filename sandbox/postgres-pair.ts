/** The two Postgres servers of the sandbox: the one to migrate from, and the one that stands for RDS. */
import { join } from 'node:path';
import { startPostgres, type PostgresServer } from './runtime/postgres.ts';
import { ensureTool, type ToolProgress } from './runtime/tools.ts';

export interface PostgresPair {
  readonly source: PostgresServer;
  readonly target: PostgresServer;
  /** The program that the worker copies schemas with. */
  readonly pgDump: string;
  /** Both. May be called again. @throws Error where one could not be ended; the other is ended all the same */
  stop(): Promise<void>;
}

export interface PostgresPairOptions {
  /** Their data is kept here, and found again. */
  dir: string;
  /** Default: free ones. */
  ports: { source?: number | undefined; target?: number | undefined };
  onProgress?: ((progress: ToolProgress) => void) | undefined;
}

/** Of a sandbox, beside other servers on one machine. */
const CONFIG = { shared_buffers: '64MB' };

/**
 * Starts both. Each ends with this process.
 * @throws ToolError where Postgres, or the pg_dump that the worker copies schemas with, can't be had; ProcessStartError; nothing is left running
 */
export async function startPostgresPair({ dir, ports, onProgress }: PostgresPairOptions): Promise<PostgresPair> {
  await ensureTool('postgres', { onProgress });
  const { path: pgDump } = await ensureTool('pg_dump', { onProgress });
  const start = (name: 'source' | 'target'): Promise<PostgresServer> => {
    const port = ports[name];
    return startPostgres({ dir: join(dir, name), config: CONFIG, ...(port === undefined ? {} : { port }) });
  };
  const begun = [start('source'), start('target')] as const;
  const ended = await Promise.allSettled(begun);
  const up = ended.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
  const stop = async (): Promise<void> => {
    const failed = (await Promise.allSettled(up.map((server) => server.stop()))).flatMap((one) =>
      one.status === 'rejected' ? [one.reason as Error] : [],
    );
    if (failed.length > 0) throw new AggregateError(failed, failed.map(({ message }) => message).join('\n'));
  };
  if (up.length < begun.length) await stop();
  const [source, target] = await Promise.all(begun);
  return { source, target, pgDump, stop };
}
