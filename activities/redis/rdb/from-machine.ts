/**
 * The source's machine uploads its file itself, to addresses that are signed for it part by part: it needs no credentials
 * and the worker no memory. What S3 has is then read through, and has to be what the machine says that it has.
 */
import { CompleteMultipartUploadCommand } from '@aws-sdk/client-s3';
import { ErrorType } from '../../../spec/errors.ts';
import type { RdbFrom, SavedRdb, UploadedRdb } from '../../../spec/redis-rdb.ts';
import { s3 } from '../../aws/clients.ts';
import { awsFailure, isCode } from '../../aws/failure.ts';
import { keep, kept } from '../../aws/kept.ts';
import { beat } from '../../beat.ts';
import { permanent } from '../../errors.ts';
import {
  abortMultipart,
  address,
  beginMultipart,
  MIB,
  nameOf,
  openMultiparts,
  partBytesFor,
  storedParts,
  type Destination,
  type StoredPart,
} from '../../s3/multipart-state.ts';
import { deleteKeys } from '../../s3/objects.ts';
import { presignParts } from '../../s3/presigned-parts.ts';
import { commandFailure } from '../../ssm/command-failure.ts';
import { runOnMachine, type CommandResult } from '../../ssm/run-command.ts';
import type { UploadRdbArgs } from './args.ts';
import { readHeader } from './header.ts';
import {
  describeScript,
  described,
  EXIT,
  linkOf,
  unlinkScript,
  uploadScript,
  type Described,
  type PartOfFile,
} from './machine-scripts.ts';
import { provenAfter, provenOfServer } from './mark.ts';
import { metadataOf, ownObject } from './ours.ts';
import { readStored } from './stored.ts';
import { inTime } from './through-worker.ts';

type FromMachine = Extract<RdbFrom, { type: 'ssm' }>;

/** curl holds one in memory, four at a time. */
const PART_BYTES = 16 * MIB;

/** Of one command: its output tells nothing until its end, so progress is as fine as this. */
const COMMAND_BYTES = 1024 * MIB;
const COMMAND_PARTS = 64;

/** Reading 10 GB for its digest takes a minute; a command that uploads 1 GiB, at 10 Mbit/s, a quarter of an hour. */
const COMMAND_MS = 3_600_000;

/** For how long an address holds, seconds: the command's time, and for SSM to deliver it. */
const SIGNED_SECONDS = 7_200;

/**
 * Safe to run twice: parts that S3 has in full are not sent again, and what is sent twice is the same.
 * @throws cutover.ServiceFailed with what the machine said; cutover.Invalid where the file is damaged or too old;
 *   as runOnMachine
 */
export async function uploadFromMachine(
  args: UploadRdbArgs,
  to: Destination,
  from: FromMachine,
  path: string,
  saved: SavedRdb,
): Promise<Omit<UploadedRdb, 'bucket' | 'key' | 'owner'>> {
  const link = linkOf(path, args.ours.run, saved.mark);
  const file = await describe(args, from, path, link);
  const header = readHeader(file.head);
  if (header) {
    provenAfter(saved.mark, header, `${path} on ${from.instance}`);
    provenOfServer(saved.mark, header, `${path} on ${from.instance}`);
  }
  const { uploadId, stored } = await openOrBegin(args, to);
  const partBytes = partBytesFor(file.bytes, PART_BYTES);
  const wanted = partsOf(file.bytes, partBytes);
  const missing = wanted.filter(({ number, bytes }) => stored.get(number)?.bytes !== bytes);
  const perCommand = Math.max(1, Math.min(COMMAND_PARTS, Math.floor(COMMAND_BYTES / partBytes)));
  for (let first = 0; first < missing.length; first += perCommand) {
    inTime(args);
    const batch = missing.slice(first, first + perCommand);
    const done = file.bytes - missing.slice(first).reduce((sum, { bytes }) => sum + bytes, 0);
    beat({ progress: { text: `${from.instance} uploads its RDB`, done, total: file.bytes, unit: 'bytes' } });
    await uploadBatch(args, to, from, { link, uploadId, batch });
  }
  await complete(to, uploadId, wanted);
  const rdb = await proveStored(args, to, file, saved);
  await unlink(args, from, path).catch(() => {});
  const object = (await ownObject(to, args.ours))!;
  return {
    etag: object.etag,
    bytes: file.bytes,
    parts: wanted.length,
    resumedParts: wanted.length - missing.length,
    rdb,
    mark: saved.mark,
  };
}

/** Removes the file's second name. Safe to run twice. @throws cutover.ServiceFailed; as runOnMachine */
export async function unlink(
  args: Pick<UploadRdbArgs, 'ours' | 'attempt'>,
  from: FromMachine,
  path: string,
): Promise<void> {
  const result = await tell(args, from, 'rdb-unlink', unlinkScript(path, args.ours.run));
  if (result.meaning !== 'ok') throw commandFailure(`removing the second name of ${path}`, from.instance, result);
}

async function describe(args: UploadRdbArgs, from: FromMachine, path: string, link: string): Promise<Described> {
  beat({ progress: { text: `${from.instance} reads its RDB, for a digest` } });
  const label = `rdb-file-${link.slice(-16, -4)}`;
  const result = await tell(args, from, label, describeScript(path, link));
  const found = result.meaning === 'ok' ? described(result.stdout) : undefined;
  if (found) return found;
  const remedies: Record<number, string> = {
    [EXIT.missing]:
      'is it the machine of this server, and the path as the machine sees it (a container?)? Give rdb.from.path',
    [EXIT.noLink]: 'the file’s directory takes no second name for it (ln): take rdb.from type replication',
    [EXIT.noCurl]: 'install curl on the machine, or take rdb.from type replication',
  };
  const remedy = remedies[result.exitCode ?? -1];
  throw commandFailure(`looking at ${path}`, from.instance, result, remedy === undefined ? {} : { remedy });
}

async function uploadBatch(
  args: UploadRdbArgs,
  to: Destination,
  from: FromMachine,
  { link, uploadId, batch }: { link: string; uploadId: string; batch: Omit<PartOfFile, 'suffix'>[] },
): Promise<void> {
  const numbers = batch.map(({ number }) => number);
  const { base, suffix } = await presignParts(to, uploadId, numbers, SIGNED_SECONDS);
  const parts = batch.map((part) => ({ ...part, suffix: suffix.get(part.number)! }));
  const label = `rdb-parts-${numbers[0]}-${numbers.at(-1)}-${uploadId.slice(0, 12)}`;
  const result = await tell(args, from, label, uploadScript(link, base, parts));
  if (result.meaning !== 'ok') {
    throw commandFailure('uploading its RDB', from.instance, result, {
      remedy:
        'can the machine reach S3 (a route, a VPC endpoint, its security group)? An answer 403 means that the addresses have expired: retry the step',
    });
  }
}

function tell(
  { ours, attempt = 1 }: Pick<UploadRdbArgs, 'ours' | 'attempt'>,
  from: FromMachine,
  label: string,
  script: string,
): Promise<CommandResult> {
  return runOnMachine({
    ours,
    instanceId: from.instance,
    label: `${label}#${attempt}`,
    script,
    timeoutMs: COMMAND_MS,
    agentTimeoutMs: from.agentTimeout,
    repeatable: true,
  });
}

function partsOf(bytes: number, partBytes: number): Omit<PartOfFile, 'suffix'>[] {
  return Array.from({ length: Math.ceil(bytes / partBytes) }, (_, index) => {
    const offset = index * partBytes;
    return { number: index + 1, offset, bytes: Math.min(partBytes, bytes - offset) };
  });
}

async function openOrBegin(
  args: UploadRdbArgs,
  to: Destination,
): Promise<{ uploadId: string; stored: Map<number, StoredPart> }> {
  // Only one that this activity has begun: by their sizes alone, parts of another save would look the same.
  const known = kept<{ uploadId: string }>().uploadId;
  for (const id of await openMultiparts(to)) if (id !== known) await abortMultipart(to, id);
  const stored = known === undefined ? undefined : await storedParts(to, known);
  if (known !== undefined && stored) return { uploadId: known, stored };
  const uploadId = await beginMultipart(to, {
    ContentType: 'application/octet-stream',
    Metadata: metadataOf(args.ours),
  });
  keep({ uploadId });
  return { uploadId, stored: new Map() };
}

async function complete(to: Destination, uploadId: string, wanted: Omit<PartOfFile, 'suffix'>[]): Promise<void> {
  const stored = await storedParts(to, uploadId);
  const wrong = stored && wanted.find(({ number, bytes }) => stored.get(number)?.bytes !== bytes);
  if (wrong) {
    throw permanent(
      ErrorType.serviceFailed,
      `part ${wrong.number} of ${nameOf(to)} has ${stored.get(wrong.number)?.bytes ?? 'no'} bytes in S3, expected ${wrong.bytes}`,
      { remedy: 'retry the step' },
    );
  }
  try {
    const parts = wanted.map(({ number }) => ({ PartNumber: number, ETag: stored?.get(number)?.etag }));
    await s3(to.aws).send(
      new CompleteMultipartUploadCommand({ ...address(to), UploadId: uploadId, MultipartUpload: { Parts: parts } }),
      { requestTimeout: 600_000, ...(to.signal ? { abortSignal: to.signal } : {}) },
    );
  } catch (error) {
    // Its answer was lost, and the SDK has asked again; what is there is looked at next.
    if (!isCode(error, 'NoSuchUpload')) throw awsFailure(error, `CompleteMultipartUpload of ${nameOf(to)}`);
  }
}

async function proveStored(args: UploadRdbArgs, to: Destination, file: Described, { mark }: SavedRdb) {
  try {
    const { facts, sha256 } = await readStored(to);
    if (facts.bytes !== file.bytes || sha256 !== file.sha256) {
      throw permanent(
        ErrorType.serviceFailed,
        `${nameOf(to)} is not the file of the machine: ${facts.bytes} bytes, SHA-256 ${sha256}; expected ${file.bytes} bytes, ${file.sha256}`,
        { remedy: 'retry the step' },
      );
    }
    provenAfter(mark, facts, nameOf(to));
    return facts;
  } catch (error) {
    // It was put together before it was proven: it must not be found, and taken, by a later attempt.
    if ((error as { nonRetryable?: boolean }).nonRetryable === true && (await ownObject(to, args.ours))) {
      await deleteKeys(to, [to.key]);
    }
    throw error;
  }
}
