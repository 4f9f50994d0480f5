import type { IncomingMessage } from 'node:http';
import { AwsFault } from './faults.ts';

const MOST_BYTES = 16 * 1024 * 1024;

/** @throws AwsFault RequestEntityTooLarge over 16 MiB. */
export async function readBody(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request) {
    const bytes = chunk as Buffer;
    size += bytes.length;
    if (size > MOST_BYTES) throw new AwsFault('RequestEntityTooLarge', 'Request entity is too large', 413);
    chunks.push(bytes);
  }
  return Buffer.concat(chunks);
}

/** The members of an awsQuery call; empty for other protocols. */
export function readForm(request: IncomingMessage, body: Buffer | undefined): ReadonlyMap<string, string> {
  const type = request.headers['content-type'] ?? '';
  if (body === undefined || !type.startsWith('application/x-www-form-urlencoded')) return new Map();
  return new Map(new URLSearchParams(body.toString('utf8')));
}

/** For the log of calls. */
export function redacted(form: ReadonlyMap<string, string>): Record<string, string> {
  return Object.fromEntries([...form].map(([key, value]) => [key, key === 'AuthToken' ? '***' : value]));
}
