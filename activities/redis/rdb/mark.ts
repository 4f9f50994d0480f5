/** A point in a server's life that an RDB is later proven to be of after. */
import type { Redis } from 'ioredis';
import { sleep } from '@temporalio/activity';
import { ErrorType } from '../../../spec/errors.ts';
import type { RdbMark } from '../../../spec/redis-rdb.ts';
import { permanent } from '../../errors.ts';
import { parseInfo } from '../replication.ts';
import type { RdbHeader } from './header.ts';

/** A kernel of 100 ticks a second moves its coarse clock every 10 ms. */
const COARSE_MS = 30;

/** @throws the errors of ioredis */
export async function takeMark(redis: Redis): Promise<RdbMark> {
  const server = parseInfo(await redis.info('server'));
  const replication = parseInfo(await redis.info('replication'));
  // Last: what is saved from here on is saved after all of the above was read.
  const second = await settledSecond(redis);
  return {
    second,
    server: server['run_id'] ?? '',
    replid: replication['master_replid'] ?? '',
    offset: Number(replication['slave_repl_offset'] ?? replication['master_repl_offset'] ?? 0),
    backlog: replication['repl_backlog_active'] === '1',
  };
}

/**
 * The server's second, once it has been that for a while: what it writes into an RDB it takes from a coarser clock
 * (`time(NULL)`), which may still be in the second before [measured: a header one second older than TIME before BGSAVE].
 */
async function settledSecond(redis: Redis): Promise<number> {
  for (;;) {
    const [second, microseconds] = (await redis.time()).map(Number);
    const since = (microseconds ?? 0) / 1000;
    if (second !== undefined && since >= COARSE_MS) return second;
    await sleep(COARSE_MS - since + 1);
  }
}

/**
 * The header tells, by the server's own clock, when the RDB was begun.
 * @throws cutover.Invalid where that was before the mark: what was written in between is not in it
 */
export function provenAfter(mark: RdbMark, header: RdbHeader, what: string): void {
  if (header.createdAt !== undefined && header.createdAt >= mark.second) return;
  const iso = (second: number) => new Date(second * 1000).toISOString();
  const when = header.createdAt === undefined ? 'does not say when it was begun' : `was begun ${iso(header.createdAt)}`;
  throw permanent(ErrorType.invalid, `${what} ${when}, and has to be of ${iso(mark.second)} or later`, {
    remedy:
      'is it the file of this server (CONFIG GET dir dbfilename)? If its clock was set back, retry the step that saves',
  });
}

/** Of no replication, or of none that is known. */
const NO_ID = /^0*$/;

/**
 * For a file that was found by its path: on another machine that path may be of another server. A server that has, or had,
 * replicas writes its replication id into its RDB; one without writes none, and nothing is told by that.
 * @throws cutover.Invalid where the file has another server's
 */
export function provenOfServer(mark: RdbMark, header: RdbHeader, what: string): void {
  const { replid = '' } = header;
  if (NO_ID.test(replid) || NO_ID.test(mark.replid) || replid === mark.replid) return;
  throw permanent(
    ErrorType.invalid,
    `${what} is of another server: its replication id is ${replid}, and that of the source ${mark.replid}`,
    {
      remedy:
        'is that path, where it is read, of another server’s? Put the source’s file there and retry, or abort and give rdb.from.path, or rdb.from type replication. If it is the source’s own (it got its first replica, or became a primary, since the save): abort and start again',
    },
  );
}
