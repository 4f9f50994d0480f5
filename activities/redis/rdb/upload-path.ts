/** A file that the worker can read: opened once, so that a save that comes meanwhile puts another one beside it. */
import { open as openFile, type FileHandle } from 'node:fs/promises';
import { posix } from 'node:path';
import { ErrorType } from '../../../spec/errors.ts';
import type { SavedRdb } from '../../../spec/redis-rdb.ts';
import { permanent } from '../../errors.ts';

const CHUNK_BYTES = 1024 * 1024;

export interface OpenedFile {
  path: string;
  bytes: number;
  body: AsyncIterable<Buffer>;
  close(): Promise<void>;
}

/** Where the server says that its file is. @throws cutover.Invalid where it does not say */
export function savedPath(saved: Pick<SavedRdb, 'dir' | 'dbfilename'> | undefined, given: string | undefined): string {
  if (given !== undefined) return given;
  if (saved?.dir !== undefined && saved.dbfilename !== undefined) return posix.join(saved.dir, saved.dbfilename);
  throw permanent(ErrorType.invalid, 'the server does not tell where its RDB is: CONFIG is blocked or renamed', {
    remedy: 'give rdb.from.path in the file',
  });
}

/** @throws cutover.NotFound, cutover.Denied */
export async function openRdbFile(path: string): Promise<OpenedFile> {
  let file: FileHandle;
  try {
    file = await openFile(path, 'r');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'error';
    throw permanent(
      code === 'EACCES' ? ErrorType.denied : ErrorType.notFound,
      `the worker can't read ${path}: ${code}`,
      {
        remedy:
          'is it on the worker’s own disk, or mounted there, and readable? If not: rdb.from type replication needs no file, and type ssm lets the machine upload it',
      },
    );
  }
  const { size } = await file.stat();
  return { path, bytes: size, body: chunks(file), close: () => file.close() };
}

/** One buffer for all: what is given is to be used before the next one is asked for. */
async function* chunks(file: FileHandle): AsyncGenerator<Buffer> {
  const buffer = Buffer.allocUnsafeSlow(CHUNK_BYTES);
  for (let position = 0; ;) {
    const { bytesRead } = await file.read(buffer, 0, CHUNK_BYTES, position);
    if (bytesRead === 0) return;
    position += bytesRead;
    yield buffer.subarray(0, bytesRead);
  }
}
