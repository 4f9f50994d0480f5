/**
 * A stream into one object, part by part. In memory are the parts that are under way and the one that fills, whatever the
 * size of the whole. Every part is proven by its MD5, which S3 answers as its ETag, and by a CRC32 that S3 checks.
 */
import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { CompleteMultipartUploadCommand, UploadPartCommand, type CompletedPart } from '@aws-sdk/client-s3';
import { ErrorType } from '../../spec/errors.ts';
import { s3 } from '../aws/clients.ts';
import { awsFailure, isCode } from '../aws/failure.ts';
import { permanent, transient } from '../errors.ts';
import { address, MOST_PARTS, nameOf, sending, type Destination, type StoredPart } from './multipart-state.ts';
import { bare, head } from './objects.ts';

/** For one part, and for the end of all, ms: S3 may take minutes to put thousands of parts together. */
const PART_TIMEOUT_MS = 120_000;
const COMPLETE_TIMEOUT_MS = 600_000;

export interface MultipartArgs {
  to: Destination;
  uploadId: string;
  partBytes: number;
  /** Parts under way at once. */
  inFlight: number;
  /** What S3 has already: a part that is the same is not sent again. */
  stored: ReadonlyMap<number, StoredPart>;
  progress: (done: { bytes: number; parts: number }) => void;
}

export interface StoredObject {
  etag: string;
  bytes: number;
  parts: number;
  resumedParts: number;
}

export class MultipartUpload {
  private readonly args: MultipartArgs;
  private readonly free: Buffer[] = [];
  private readonly underWay = new Set<Promise<void>>();
  private readonly parts: (CompletedPart & { md5: Buffer })[] = [];
  private failure: unknown;
  private filling: Buffer | undefined;
  private filled = 0;
  private begun = 0;
  private bytes = 0;
  private resumed = 0;

  constructor(args: MultipartArgs) {
    this.args = args;
  }

  /**
   * Takes the bytes; they may be overwritten afterwards. Waits while as many parts as are allowed are under way.
   * @throws cutover.Invalid beyond 10,000 parts; cutover.Denied, cutover.NotFound and the passing ones of any part so far
   */
  async write(chunk: Buffer): Promise<void> {
    for (let at = 0; at < chunk.length;) {
      this.filling ??= this.free.pop() ?? Buffer.allocUnsafeSlow(this.args.partBytes);
      const copied = chunk.copy(this.filling, this.filled, at);
      this.filled += copied;
      at += copied;
      if (this.filled === this.args.partBytes) await this.send();
    }
  }

  /** Sends what is left, and waits for every part. @throws as write */
  async flush(): Promise<void> {
    if (this.filled > 0) await this.send();
    await Promise.all(this.underWay);
    this.rethrow();
  }

  /** Ends without waiting for good: what is under way is given up by the signal of `to`. */
  async settle(): Promise<void> {
    await Promise.allSettled(this.underWay);
  }

  /**
   * Puts the parts together, and proves by size and ETag that the object is what was written.
   * @throws cutover.ServiceFailed where it is not; as write
   */
  async complete(): Promise<StoredObject> {
    const { to, uploadId } = this.args;
    const parts = this.parts.map(({ md5: _md5, ...part }) => part);
    const etag = etagOf(this.parts.map(({ md5 }) => md5));
    try {
      await s3(to.aws).send(
        new CompleteMultipartUploadCommand({ ...address(to), UploadId: uploadId, MultipartUpload: { Parts: parts } }),
        { ...sending(to), requestTimeout: COMPLETE_TIMEOUT_MS },
      );
    } catch (error) {
      // Its answer may have been lost, and the SDK has asked again: then there is no such upload any more.
      if (!isCode(error, 'NoSuchUpload')) throw awsFailure(error, `CompleteMultipartUpload of ${nameOf(to)}`);
    }
    const found = await head(to, to.key);
    if (found?.bytes !== this.bytes || found.etag !== etag) {
      throw transient(
        ErrorType.serviceFailed,
        `${nameOf(to)} is not what was uploaded: ${found ? `${found.bytes} bytes, ETag ${found.etag}` : 'it is not there'}, expected ${this.bytes} bytes, ETag ${etag}`,
        { remedy: 'does something else write to this key, or does a rule of the bucket encrypt it with KMS?' },
      );
    }
    return { etag, bytes: this.bytes, parts: parts.length, resumedParts: this.resumed };
  }

  private async send(): Promise<void> {
    while (this.underWay.size >= this.args.inFlight) await Promise.race(this.underWay);
    this.rethrow();
    const buffer = this.filling!;
    const body = buffer.subarray(0, this.filled);
    const number = ++this.begun;
    this.filling = undefined;
    this.filled = 0;
    if (number > MOST_PARTS) {
      throw permanent(ErrorType.invalid, `${nameOf(this.args.to)}: more than ${MOST_PARTS} parts`, {
        remedy: 'the RDB is far larger than the memory of the source: report this, with INFO memory',
      });
    }
    const sent: Promise<void> = this.part(number, body)
      .then(
        () => void this.free.push(buffer),
        (error: unknown) => void (this.failure ??= error),
      )
      .finally(() => this.underWay.delete(sent));
    this.underWay.add(sent);
  }

  private rethrow(): void {
    if (this.failure !== undefined) throw this.failure as Error;
  }

  private async part(number: number, body: Buffer): Promise<void> {
    const { to, uploadId, stored, progress } = this.args;
    const md5 = createHash('md5').update(body).digest();
    const etag = md5.toString('hex');
    const sum = Buffer.alloc(4);
    sum.writeUInt32BE(crc32(body));
    const checksum = sum.toString('base64');
    const before = stored.get(number);
    if (before?.etag === etag && before.bytes === body.length) {
      this.resumed += 1;
    } else {
      const answer = await s3(to.aws)
        .send(
          new UploadPartCommand({
            ...address(to),
            UploadId: uploadId,
            PartNumber: number,
            Body: body,
            ContentLength: body.length,
            ContentMD5: md5.toString('base64'),
            ChecksumCRC32: checksum,
          }),
          { ...sending(to), requestTimeout: PART_TIMEOUT_MS },
        )
        .catch((error: unknown) => {
          throw awsFailure(error, `UploadPart ${number} of ${nameOf(to)}`);
        });
      if (bare(answer.ETag) !== etag) {
        throw transient(
          ErrorType.serviceFailed,
          `UploadPart ${number} of ${nameOf(to)}: S3 has other bytes than were sent`,
        );
      }
    }
    this.parts[number - 1] = { PartNumber: number, ETag: `"${etag}"`, ChecksumCRC32: checksum, md5 };
    this.bytes += body.length;
    progress({ bytes: this.bytes, parts: number });
  }
}

/** S3's ETag of an object of parts, encrypted by S3's own key: the MD5 of their MD5s, and their number. */
export function etagOf(md5s: readonly Buffer[]): string {
  return `${createHash('md5').update(Buffer.concat(md5s)).digest('hex')}-${md5s.length}`;
}
