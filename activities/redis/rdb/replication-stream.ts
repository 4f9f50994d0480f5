/**
 * An RDB as a replica gets it: PSYNC, the save that the server makes for it, and its bytes, in either of the two framings.
 * The offset that the server names proves what is in it.
 */
import { ErrorType } from '../../../spec/errors.ts';
import type { RdbMark } from '../../../spec/redis-rdb.ts';
import type { RedisEndpoint } from '../../../spec/values.ts';
import { transient } from '../../errors.ts';
import { closed, ReplicaSocket } from './handshake.ts';

/** `$EOF:` and so many characters, which stand again behind the last byte (diskless). */
const MARK_BYTES = 40;

export interface SyncStream {
  replid: string;
  offset: number;
  /** Known where the server saved to its disk first. */
  bytes?: number;
  /** Ends with the RDB's last byte. @throws cutover.Replication where the server closes before it */
  body: AsyncIterable<Buffer>;
  close(): void;
}

/**
 * Asks for a full synchronisation. The server forks for it as for any new replica.
 * @param version Of the server: newer ones write the format that the replica's version can load.
 * @throws cutover.Busy (tried again) where the server took us along with a save from before the mark; cutover.Denied
 *   without +psync and +replconf; cutover.Unreachable, cutover.Replication
 */
export async function openSync(
  endpoint: RedisEndpoint,
  options: { mark: RdbMark; version: string; signal: AbortSignal },
): Promise<SyncStream> {
  const { mark, version, signal } = options;
  const socket = await ReplicaSocket.open(endpoint, 'cutover:rdb', signal);
  try {
    await socket.must('REPLCONF', 'capa', 'eof', 'capa', 'psync2');
    // Since 7.0: no writes are gathered for us meanwhile. Older ones refuse it, and gather.
    await socket.ask('REPLCONF', 'rdb-only', '1');
    await socket.ask('REPLCONF', 'version', version);
    const [, replid = '', offsetText = ''] =
      /^\+FULLRESYNC (\S+) (\d+)/.exec(await socket.must('PSYNC', '?', '-1')) ?? [];
    if (replid === '') throw closed(socket.where, 'without a full synchronisation');
    const offset = Number(offsetText);
    provenSync(mark, { replid, offset }, socket.where);
    const frame = await socket.line();
    const framed = readFrame(frame, socket);
    return { replid, offset, ...framed, close: () => socket.close() };
  } catch (error) {
    socket.close();
    throw error;
  }
}

/**
 * A new replica may be taken along with a save that another one waits for, and that was begun before: a replica then gets
 * what was written since by the stream behind it, and we would not.
 */
function provenSync(mark: RdbMark, sync: { replid: string; offset: number }, where: string): void {
  // Another history has begun since the mark: with the backlog, when the first replica came. No older save was for one.
  if (sync.replid !== mark.replid && !mark.backlog) return;
  if (sync.replid === mark.replid && sync.offset >= mark.offset) return;
  throw transient(
    ErrorType.busy,
    sync.replid === mark.replid
      ? `${where} took us along with a save from before our time (at ${sync.offset}, wanted ${mark.offset}): it is tried again after it`
      : `${where} has changed its replication id meanwhile: it is tried again`,
    { afterMs: 5_000, benign: true },
  );
}

function readFrame(frame: string, socket: ReplicaSocket): Pick<SyncStream, 'body' | 'bytes'> {
  const mark = /^\$EOF:(.{40})$/.exec(frame)?.[1];
  if (mark !== undefined) return { body: untilMark(socket, Buffer.from(mark, 'latin1')) };
  const bytes = /^\$(\d+)$/.exec(frame)?.[1];
  if (bytes !== undefined) return { bytes: Number(bytes), body: exactly(socket, Number(bytes)) };
  throw closed(socket.where, `instead of an RDB: ${JSON.stringify(frame.slice(0, 200))}`);
}

async function* exactly(socket: ReplicaSocket, bytes: number): AsyncGenerator<Buffer> {
  for (let left = bytes; left > 0;) {
    const chunk = await socket.bytes();
    if (!chunk) throw closed(socket.where, `${left} of ${bytes} bytes before the end of the RDB`);
    // What follows is the stream of writes, which nobody wants here.
    yield chunk.subarray(0, left);
    left -= Math.min(left, chunk.length);
  }
}

/** Exported for its test. The last bytes are held back: they may be the beginning of the mark. */
export async function* untilMark(socket: Pick<ReplicaSocket, 'bytes' | 'where'>, mark: Buffer): AsyncGenerator<Buffer> {
  let held: Buffer = Buffer.alloc(0);
  for (;;) {
    const chunk = await socket.bytes();
    if (!chunk) throw closed(socket.where, 'before the end of the RDB');
    const all = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
    const end = all.indexOf(mark);
    if (end >= 0) {
      if (end > 0) yield all.subarray(0, end);
      return;
    }
    const keep = Math.min(all.length, MARK_BYTES - 1);
    if (all.length > keep) yield all.subarray(0, all.length - keep);
    held = Buffer.from(all.subarray(all.length - keep));
  }
}
