/** The RDB into S3, by the way that the file names. Wait queue: it takes as long as the data is large. */
import { ApplicationFailure } from '@temporalio/common';
import type { Redis } from 'ioredis';
import { ErrorType } from '../../../spec/errors.ts';
import type { RdbFacts, RdbMark, SavedRdb, UploadedRdb } from '../../../spec/redis-rdb.ts';
import { keep, kept } from '../../aws/kept.ts';
import { beat } from '../../beat.ts';
import { permanent } from '../../errors.ts';
import type { Destination } from '../../s3/multipart-state.ts';
import { withRedis } from '../connect.ts';
import { parseInfo } from '../replication.ts';
import type { UploadRdbArgs } from './args.ts';
import { uploadFromMachine } from './from-machine.ts';
import { takeMark } from './mark.ts';
import { destination, ownObject } from './ours.ts';
import { openSync } from './replication-stream.ts';
import { readStored } from './stored.ts';
import { passThrough } from './through-worker.ts';
import { openRdbFile, savedPath } from './upload-path.ts';

type Uploaded = Omit<UploadedRdb, 'bucket' | 'key' | 'owner'>;

/**
 * Uploads the RDB, proves that it is whole and of after the mark, and that S3 has it byte for byte. Safe to run twice:
 * what an earlier attempt has brought to its end is read through and taken; a file is gone on with by what S3 has of it;
 * a replication stream begins again.
 * @throws cutover.Invalid where it is cut off, damaged, or older than asked for; cutover.NotOurs where another's object is
 *   under the key; cutover.NotFound without the file; cutover.Deadline; cutover.Busy, cutover.Replication,
 *   cutover.Unreachable and cutover.Throttled, which are tried again
 */
export async function uploadRdb(args: UploadRdbArgs): Promise<UploadedRdb> {
  const to = await destination(args.to, args.ours);
  const uploaded = (await already(args, to)) ?? (await anew(args, to));
  return { ...args.to, ...uploaded };
}

/**
 * What an earlier attempt has brought to its end, before its answer was lost. It is read through: one that a machine
 * uploaded may have been put together, and not proven yet.
 */
async function already(args: UploadRdbArgs, to: Destination): Promise<Uploaded | undefined> {
  const existing = await ownObject(to, args.ours);
  const mark = args.saved?.mark ?? kept<{ mark: RdbMark }>().mark;
  if (!existing || !mark) return undefined;
  const facts = await wholeOrNothing(to);
  // Without a checksum of its own only the machine's digest could tell that it is the same: it is uploaded again.
  if (!facts || (args.from.type === 'ssm' && facts.crc64 === undefined)) return undefined;
  // With a stream the mark does not exclude that a save began within the same second before it.
  const least = args.from.type === 'replication' ? mark.second + 1 : mark.second;
  if (facts.createdAt === undefined || facts.createdAt < least) return undefined;
  const { etag, bytes, parts } = existing;
  return { etag, bytes, parts, resumedParts: parts, rdb: facts, mark };
}

/** Undefined where it is damaged: then it is written over. */
async function wholeOrNothing(to: Destination): Promise<RdbFacts | undefined> {
  try {
    return (await readStored(to)).facts;
  } catch (error) {
    if (error instanceof ApplicationFailure && error.type === ErrorType.invalid) return undefined;
    throw error;
  }
}

function anew(args: UploadRdbArgs, to: Destination): Promise<Uploaded> {
  const { from } = args;
  switch (from.type) {
    case 'replication':
      return fromReplication(args, to);
    case 'path':
      return fromPath(args, to, savedPath(args.saved, from.path), required(args));
    case 'ssm':
      return uploadFromMachine(args, to, from, savedPath(args.saved, from.path), required(args));
  }
}

function required({ saved, from }: UploadRdbArgs): SavedRdb {
  if (saved) return saved;
  throw permanent(ErrorType.invalid, `an RDB by ${from.type} has to be saved first`);
}

async function fromPath(args: UploadRdbArgs, to: Destination, path: string, saved: SavedRdb): Promise<Uploaded> {
  const file = await openRdbFile(path);
  try {
    const incoming = { what: path, body: file.body, expectedBytes: file.bytes, exact: true };
    return await passThrough(args, to, incoming, saved.mark, true);
  } finally {
    await file.close();
  }
}

async function fromReplication(args: UploadRdbArgs, to: Destination): Promise<Uploaded> {
  const { source } = args;
  const { mark, version, usedMemory } = await withRedis(source, { name: 'cutover:rdb' }, before);
  keep({ mark });
  beat({ progress: { text: 'the source saves its data for us, as for a replica' } });
  const stream = await openSync(source, { mark, version, signal: to.signal ?? new AbortController().signal });
  try {
    const incoming = {
      what: `the RDB of ${source.host}:${source.port}`,
      body: stream.body,
      // Compressed as it is, it is smaller than the memory; nobody knows it before its end.
      expectedBytes: stream.bytes ?? 2 * usedMemory,
      exact: stream.bytes !== undefined,
    };
    const uploaded = await passThrough(args, to, incoming, mark, false);
    return { ...uploaded, sync: { replid: stream.replid, offset: stream.offset } };
  } finally {
    stream.close();
  }
}

async function before(redis: Redis): Promise<{ mark: RdbMark; version: string; usedMemory: number }> {
  const server = parseInfo(await redis.info('server'));
  const memory = parseInfo(await redis.info('memory'));
  const first = kept<{ mark: RdbMark }>().mark;
  return {
    // The first attempt's, so that what that one has brought to its end is known by it; not a restarted server's.
    mark: first?.server === server['run_id'] && first ? first : await takeMark(redis),
    version: server['valkey_version'] ?? server['redis_version'] ?? '',
    usedMemory: Number(memory['used_memory'] ?? 0),
  };
}
