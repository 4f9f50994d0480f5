/** A call of an HTTP address. Sent again after what can pass, always with the same `Idempotency-Key`. */
import type { z } from 'zod';
import { ErrorType } from '../../spec/errors.ts';
import type { webhookHook } from '../../spec/hooks.ts';
import { permanent, transient } from '../errors.ts';
import { redact } from '../secrets/redact.ts';
import { resolveSecret } from '../secrets/resolve.ts';
import { fillIn, fillInDeep, type HookContext } from './hook-context.ts';

type WebhookHook = z.output<typeof webhookHook>;
type HttpCall = Pick<WebhookHook, 'url' | 'method' | 'headers' | 'body'>;

/** How long one try may take, ms, where the hook's timeout is longer: a receiver that hangs gets another chance. */
const ONE_TRY_MS = 30_000;
/** Of the receiver's answer, in an error. */
const SHOWN = 200;

/** Statuses of the 4xx that ask for another try: request timeout, too early, too many requests. */
const PASSING = [408, 425, 429];

/** @throws cutover.Hook for an answer that will not change (4xx, a redirect); retried by the caller: 5xx, no answer */
export async function runWebhook(hook: WebhookHook, context: HookContext): Promise<void> {
  await call(hook, keyOf(context), context);
}

/** Calls the file's undo address, if it names one. */
export async function undoWebhook(hook: WebhookHook, context: HookContext): Promise<void> {
  if (hook.undo) await call(hook.undo, `${keyOf(context)}/undo`, context);
}

/** The same for every try of one use of the hook, and of no other use: see HooksArgs.run. */
function keyOf({ migrationId, run, index }: HookContext): string {
  return [migrationId, ...(run === undefined ? [] : [run]), index].join('/');
}

async function call(http: HttpCall, key: string, context: HookContext): Promise<void> {
  const url = new URL(fillIn(http.url, context));
  // The path may hold a token, as those of chat services do.
  const where = `${http.method} ${url.origin}`;
  const body = http.body === undefined ? undefined : JSON.stringify(fillInDeep(http.body, context));
  if (body !== undefined && http.method === 'GET') {
    throw permanent(ErrorType.hook, `${where}: a GET can't have a body`, { remedy: 'use POST, or leave the body out' });
  }
  const headers = await headersOf(http, context);
  headers.set('Idempotency-Key', key);
  if (body !== undefined && !headers.has('content-type')) headers.set('content-type', 'application/json');
  context.say(`calling ${where}`);
  const response = await answer(where, url, {
    method: http.method,
    headers,
    ...(body === undefined ? {} : { body }),
    // A redirected POST becomes a GET at an address that nobody named.
    redirect: 'manual',
    signal: AbortSignal.any([context.signal, AbortSignal.timeout(ONE_TRY_MS)]),
  });
  if (response.status >= 200 && response.status < 300) {
    await response.body?.cancel();
    return;
  }
  const said = await textOf(response);
  const message = `${where} answered ${response.status}${said === '' ? '' : `: ${said}`}`;
  if (response.status >= 500 || PASSING.includes(response.status)) throw transient(ErrorType.hook, message);
  throw permanent(ErrorType.hook, message, {
    remedy: 'the receiver refuses the call as the file has it: mend one or the other, then retry the step',
    facts: { status: response.status },
  });
}

async function answer(where: string, url: URL, init: RequestInit): Promise<Response> {
  try {
    return await fetch(url, init);
  } catch (error) {
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
    const text = cause instanceof Error ? ('code' in cause ? String(cause.code) : cause.message) : String(cause);
    throw transient(ErrorType.hook, `${where} gave no answer: ${redact(text)}`);
  }
}

async function headersOf(http: HttpCall, context: HookContext): Promise<Headers> {
  const headers = new Headers();
  for (const [name, value] of Object.entries(http.headers)) {
    const text = typeof value === 'string' ? fillIn(value, context) : await resolveSecret(value, context.aws);
    try {
      headers.set(name, text);
    } catch {
      // The error of Headers quotes the value.
      throw permanent(ErrorType.hook, `the header ${name} can't be sent: its name or value is not allowed in HTTP`);
    }
  }
  return headers;
}

async function textOf(response: Response): Promise<string> {
  try {
    return redact(await response.text())
      .replace(/\s+/g, ' ')
      .trim()
      .slice(0, SHOWN);
  } catch {
    return '';
  }
}
