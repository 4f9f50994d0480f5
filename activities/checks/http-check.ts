/** One try of an HTTP check. */
import type { z } from 'zod';
import type { httpCheck } from '../../spec/checks.ts';
import { ErrorType } from '../../spec/errors.ts';
import { permanent } from '../errors.ts';
import { redact } from '../secrets/redact.ts';
import { resolveSecret } from '../secrets/resolve.ts';
import type { Attempt, Finding } from './functional-checks.ts';

/** How long one try may take, ms, where the check's timeout is longer: an application that hangs gets another chance. */
const ONE_TRY_MS = 10_000;
/** Of a body, in an error, characters. */
const SHOWN = 200;
/** What is read of a body, bytes: an endless one must not fill the worker's memory. */
const READ_BYTES = 4 * 1024 * 1024;

/** @throws cutover.Secret; cutover.Hook for a header that can't be sent */
export async function httpFinding(check: z.output<typeof httpCheck>, { migration, signal }: Attempt): Promise<Finding> {
  const headers = new Headers();
  for (const [name, value] of Object.entries(check.headers)) {
    const text = typeof value === 'string' ? value : await resolveSecret(value, migration.aws);
    try {
      headers.set(name, text);
    } catch {
      // The error of Headers quotes the value.
      throw permanent(ErrorType.secret, `the header ${name} can't be sent: it is not allowed in HTTP`);
    }
  }
  const expected = `status ${check.expectStatus}${check.expectBody === undefined ? '' : ` and a body with ${JSON.stringify(check.expectBody)}`}`;
  let status: number;
  let body: string;
  try {
    const response = await fetch(check.url, {
      method: check.method,
      headers,
      // The address in the file is the one that is meant; a login page behind a redirect is not the application.
      redirect: 'manual',
      signal: AbortSignal.any([signal, AbortSignal.timeout(ONE_TRY_MS)]),
    });
    status = response.status;
    body = await textOf(response);
  } catch (error) {
    return { expected, got: `no answer (${reason(error)})` };
  }
  if (status === check.expectStatus && (check.expectBody === undefined || body.includes(check.expectBody))) {
    return undefined;
  }
  const shown = redact(body).replaceAll(/\s+/g, ' ').trim().slice(0, SHOWN);
  return { expected, got: `status ${status}${shown === '' ? ', no body' : `: ${shown}`}` };
}

async function textOf(response: Response): Promise<string> {
  if (!response.body) return '';
  const decoder = new TextDecoder();
  let text = '';
  let read = 0;
  for await (const chunk of response.body) {
    const bytes: Uint8Array = chunk;
    read += bytes.byteLength;
    text += decoder.decode(bytes, { stream: true });
    if (read >= READ_BYTES) break;
  }
  return text;
}

function reason(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  if (!(cause instanceof Error)) return String(cause);
  return 'code' in cause && typeof cause.code === 'string' ? cause.code : redact(cause.message);
}
