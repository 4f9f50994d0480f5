/** The two ways that pass through the worker: a file that it reads, and the replication stream. */
import { Context } from '@temporalio/activity';
import { ErrorType } from '../../../spec/errors.ts';
import type { RdbMark, UploadedRdb } from '../../../spec/redis-rdb.ts';
import { keep, kept } from '../../aws/kept.ts';
import { beat } from '../../beat.ts';
import { permanent } from '../../errors.ts';
import {
  abortMultipart,
  beginMultipart,
  MIB,
  openMultiparts,
  partBytesFor,
  storedParts,
  type Destination,
} from '../../s3/multipart-state.ts';
import { MultipartUpload } from '../../s3/multipart-upload.ts';
import type { UploadRdbArgs } from './args.ts';
import { RdbCheck } from './check.ts';
import type { RdbHeader } from './header.ts';
import { provenAfter, provenOfServer } from './mark.ts';
import { metadataOf } from './ours.ts';

/** Parts are as small as S3's limits allow, so that few bytes are sent twice and little memory is needed. */
const PART_BYTES = 8 * MIB;
/** For parts under way; the one that fills comes on top. */
const MEMORY_BYTES = 32 * MIB;

export interface Incoming {
  /** For messages: the file, or the server. */
  what: string;
  body: AsyncIterable<Buffer>;
  /** Its size, or what it may be at most. */
  expectedBytes: number;
  exact: boolean;
}

/**
 * Uploads what comes, checks it on the way, and ends the upload only where it is whole, of after the mark, and not another server's.
 * @param resume For a file, with `exact` bytes that can be read again from their start. Whatever S3 has and is the same is not sent.
 */
export async function passThrough(
  args: UploadRdbArgs,
  to: Destination,
  incoming: Incoming,
  mark: RdbMark,
  resume: boolean,
): Promise<Omit<UploadedRdb, 'bucket' | 'key' | 'owner' | 'sync'>> {
  const partBytes = partBytesFor(incoming.expectedBytes, PART_BYTES);
  const { uploadId, stored } = await openOrBegin(args, to, resume);
  const check = new RdbCheck(incoming.what);
  const prove = (header: RdbHeader) => {
    provenAfter(mark, header, incoming.what);
    // A stream is the server's own; and one that had no replica takes a new id when we come as its first.
    if (resume) provenOfServer(mark, header, incoming.what);
  };
  // What is under way is given up as soon as anything fails, not at the end of its own time.
  const failed = new AbortController();
  const upload = new MultipartUpload({
    to: { ...to, signal: AbortSignal.any([failed.signal, ...(to.signal ? [to.signal] : [])]) },
    uploadId,
    partBytes,
    inFlight: Math.max(1, Math.min(4, Math.floor(MEMORY_BYTES / partBytes))),
    stored,
    progress: ({ bytes }) =>
      beat({
        progress: {
          text: 'the RDB goes to S3',
          unit: 'bytes',
          done: bytes,
          ...(incoming.exact ? { total: incoming.expectedBytes } : {}),
        },
      }),
  });
  try {
    let proven = false;
    for await (const chunk of incoming.body) {
      inTime(args);
      check.push(chunk);
      if (!proven && check.header) {
        prove(check.header);
        proven = true;
      }
      await upload.write(chunk);
    }
    const rdb = check.end();
    // A small one is known as a whole only now.
    prove(rdb);
    await upload.flush();
    return { ...(await upload.complete()), rdb, mark };
  } catch (error) {
    failed.abort(error);
    await upload.settle();
    if (!resume) await abortMultipart(to, uploadId).catch(() => {});
    throw error;
  }
}

async function openOrBegin(args: UploadRdbArgs, to: Destination, resume: boolean) {
  // Nothing but this run has uploads under this key.
  const open = await openMultiparts(to);
  const known = kept<{ uploadId: string }>().uploadId;
  const candidate = known !== undefined && open.includes(known) ? known : open[0];
  for (const id of open) if (!resume || id !== candidate) await abortMultipart(to, id);
  if (resume && candidate !== undefined) {
    const stored = await storedParts(to, candidate);
    if (stored) {
      keep({ uploadId: candidate });
      return { uploadId: candidate, stored };
    }
  }
  const uploadId = await beginMultipart(to, {
    ChecksumAlgorithm: 'CRC32',
    ContentType: 'application/octet-stream',
    Metadata: metadataOf(args.ours),
  });
  keep({ uploadId });
  return { uploadId, stored: new Map<number, never>() };
}

/** @throws cutover.Deadline */
export function inTime({ timeoutMs, to }: UploadRdbArgs): void {
  if (Date.now() - Context.current().info.scheduledTimestampMs <= timeoutMs) return;
  throw permanent(ErrorType.deadline, `the RDB is not in s3://${to.bucket}/${to.key} after ${timeoutMs / 1000} s`, {
    remedy: 'retry the step (a file is gone on with where it was), or give the file a longer timeout',
  });
}
