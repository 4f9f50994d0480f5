/** A gzip file of lines, read as a stream: whatever its size, little of it is in memory at a time. */
import { createHash } from 'node:crypto';
import { createInterface } from 'node:readline';
import { PassThrough, Transform, type Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';

/** A stream that gives nothing for so long is dead, ms: the SDK's own limits end with the answer's headers. */
const STALLED_MS = 60_000;

export interface FileDigest {
  bytes: number;
  unpackedBytes: number;
  /** Lines with something in them. */
  lines: number;
  /** base64, of the file as it is in S3. */
  md5: string;
  /** base64, of what is in it. */
  unpackedMd5: string;
}

/** Passes everything on and tells each piece. */
function watching(see: (part: Buffer) => void): Transform {
  return new Transform({
    transform(part: Buffer, _encoding, done) {
      see(part);
      done(null, part);
    },
  });
}

/** Fails where nothing comes for a minute. */
function impatient(body: Readable): () => void {
  const timer = setTimeout(() => body.destroy(new Error('no data came for a minute')), STALLED_MS);
  body.on('data', () => timer.refresh());
  return () => clearTimeout(timer);
}

/**
 * Reads it to its end.
 * @throws the stream's error, or zlib's where it is no whole gzip file
 */
export async function digestGzip(body: Readable, signal?: AbortSignal): Promise<FileDigest> {
  const packed = createHash('md5');
  const unpacked = createHash('md5');
  const found = { bytes: 0, unpackedBytes: 0, lines: 0 };
  let open = false; // something stands behind the last line break
  const outer = watching((part) => {
    packed.update(part);
    found.bytes += part.length;
  });
  const inner = watching((part) => {
    unpacked.update(part);
    found.unpackedBytes += part.length;
    for (const byte of part) {
      if (byte !== 10) open = true;
      else {
        if (open) found.lines += 1;
        open = false;
      }
    }
  });
  const end = impatient(body);
  try {
    await pipeline(body, outer, createGunzip(), inner, drain(), signal ? { signal } : {});
  } finally {
    end();
  }
  if (open) found.lines += 1;
  return { ...found, md5: packed.digest('base64'), unpackedMd5: unpacked.digest('base64') };
}

function drain(): PassThrough {
  return new PassThrough().resume();
}

/** Its lines with something in them, one after the other. @throws as digestGzip */
export async function* linesOf(body: Readable, signal?: AbortSignal): AsyncGenerator<string> {
  const text = new PassThrough();
  const end = impatient(body);
  const done = pipeline(body, createGunzip(), text, signal ? { signal } : {}).finally(end);
  // The error comes out below, from `await done`; readline would only end early.
  done.catch(() => text.end());
  const lines = createInterface({ input: text, crlfDelay: Infinity });
  try {
    for await (const line of lines) if (line !== '') yield line;
    await done;
  } finally {
    lines.close();
    body.destroy();
  }
}
