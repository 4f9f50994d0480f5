import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { perform } from './actions.ts';
import type { Cloud } from './cloud.ts';
import type { ControlPage } from './control-page.ts';
import { callerOf } from './credentials.ts';
import type { Caller } from './credentials.ts';
import { loggedJson } from './dms/json-protocol.ts';
import { performDms } from './dms/operations.ts';
import { ec2FaultBody } from './ec2/protocol.ts';
import { AwsFault } from './faults.ts';
import type { Forwarder } from './forwarding.ts';
import { OPERATIONS, isAction } from './operations.ts';
import { readInput } from './query-input.ts';
import { answerBody, faultBody } from './query-output.ts';
import { readBody, readForm, redacted } from './request-body.ts';
import type { CallRecord, Effect } from './script.ts';
import { OWN_SERVICES, loggedOwn } from './services.ts';
import type { ServiceAnswer } from './services.ts';

const VERSION = '2015-02-02';
const JSON_TYPE = 'application/x-amz-json-1.1';

interface Exchange {
  request: IncomingMessage;
  response: ServerResponse;
  requestId: string;
  caller: Caller;
  body: Buffer | undefined;
  form: ReadonlyMap<string, string>;
  call: CallRecord;
}

/** Answers one HTTP request. Never rejects. */
export class Router {
  readonly #cloud: Cloud;
  readonly #forwarder: Forwarder;
  readonly #control: ControlPage;

  constructor(cloud: Cloud, forwarder: Forwarder, control: ControlPage) {
    this.#cloud = cloud;
    this.#forwarder = forwarder;
    this.#control = control;
  }

  async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.url?.startsWith('/_sandbox/') === true) return this.#control.answer(request, response);
    const requestId = randomUUID();
    let call: CallRecord | undefined;
    try {
      const exchange = await this.#open(request, response, requestId);
      call = exchange.call;
      this.#cloud.script.checkKey(exchange.caller.accessKeyId);
      await this.#scripted(exchange);
    } catch (error) {
      this.#refuse(request, response, requestId, call, error);
    }
  }

  /** Reads and logs a request. @throws AwsFault when it is not signed, or too large. */
  async #open(request: IncomingMessage, response: ServerResponse, requestId: string): Promise<Exchange> {
    const caller = callerOf(request);
    if (caller === undefined)
      throw new AwsFault('MissingAuthenticationToken', 'Request is missing Authentication Token');
    // Objects can be large, and their calls carry no action in the body.
    const body = caller.service === 's3' ? undefined : await readBody(request);
    const form = readForm(request, body);
    const target = String(request.headers['x-amz-target'] ?? '').split('.');
    const action = form.get('Action') ?? target[target.length - 1] ?? '';
    const call = this.#cloud.script.record({
      service: caller.service,
      action: action === '' ? `${request.method ?? ''} ${(request.url ?? '').split('?')[0]}` : action,
      params: loggedInput(caller.service, form, body),
      accessKeyId: caller.accessKeyId,
      invocationId: String(request.headers['amz-sdk-invocation-id'] ?? ''),
      attempt: String(request.headers['amz-sdk-request'] ?? ''),
    });
    return { request, response, requestId, caller, body, form, call };
  }

  async #scripted(exchange: Exchange): Promise<void> {
    const { call, response } = exchange;
    const effect = this.#cloud.script.take(call.service, call.action);
    if (effect?.kind === 'fail') throw new AwsFault(effect.code, effect.message, effect.status);
    if (effect?.kind === 'hang' && !effect.perform) {
      call.outcome = 'hung';
      return;
    }
    if (effect?.kind === 'late') {
      if (effect.answer === 'cut') cut(exchange);
      await this.#cloud.background.sleep(effect.ms);
    }
    await this.#cloud.script.runHooks('before', call);
    const answer = await this.#carryOut(exchange);
    if (answer === undefined) return this.#passOn(exchange, effect);
    await this.#cloud.script.runHooks('after', call);
    if (effect?.kind === 'hang') {
      call.outcome = 'hung';
      return;
    }
    if (effect?.kind === 'drop') return cut(exchange);
    if (call.outcome === 'dropped') return;
    call.outcome = 'answered';
    call.status = 200;
    send(response, 200, answer.body, exchange.requestId, answer.type);
  }

  /** Undefined where the call is another server's. */
  async #carryOut({ request, call, form, body, requestId }: Exchange): Promise<ServiceAnswer | undefined> {
    const text = () => (body ?? Buffer.alloc(0)).toString('utf8');
    const target = String(request.headers['x-amz-target'] ?? '');
    if (call.service === 'dms') return { body: await performDms(this.#cloud, target, text()), type: JSON_TYPE };
    if (call.service !== 'elasticache') {
      const service = OWN_SERVICES[call.service];
      const { action } = call;
      return service?.(this.#cloud, { action, target, text: text(), form, requestId, forwarder: this.#forwarder });
    }
    const action = form.get('Action') ?? '';
    if (form.get('Version') !== VERSION || !isAction(action)) {
      throw new AwsFault(
        'InvalidAction',
        `Could not find operation ${action === '' ? '(no Action was given)' : action} for version ${form.get('Version') ?? '(none)'}`,
      );
    }
    const input = readInput(OPERATIONS[action], form);
    return { body: answerBody(action, await perform(this.#cloud, action, input), requestId), type: 'text/xml' };
  }

  async #passOn(exchange: Exchange, effect: Effect | undefined): Promise<void> {
    const { request, response, body, call } = exchange;
    // Not to be told from the real thing only as long as the other server gets the call at all: so it is never held back here.
    if (effect?.kind === 'drop') cut(exchange);
    if (effect?.kind === 'hang') call.outcome = 'hung';
    call.status = await this.#forwarder.pass(request, body, response);
    if (call.outcome === 'pending') call.outcome = 'passed on';
    await this.#cloud.script.runHooks('after', call);
  }

  #refuse(
    request: IncomingMessage,
    response: ServerResponse,
    requestId: string,
    call: CallRecord | undefined,
    error: unknown,
  ): void {
    if (this.#cloud.background.stopped || response.destroyed || response.headersSent) {
      response.destroy();
      return;
    }
    const known = error instanceof AwsFault;
    const message = error instanceof Error ? error.message : String(error);
    // 400: an SDK would retry a 5xx, and hide for a while that the sandbox itself is at fault.
    const fault = known ? error : new AwsFault('SandboxFailure', `The sandbox failed: ${message}`, 400);
    if (!known) {
      const text = `${call?.service ?? ''} ${call?.action ?? request.url ?? ''}: ${error instanceof Error ? (error.stack ?? message) : message}`;
      this.#cloud.background.failures.push(text);
    }
    if (call !== undefined) {
      call.outcome = 'refused';
      call.status = fault.status;
      call.code = fault.code;
    }
    const json = request.headers['x-amz-target'] !== undefined;
    if (!json) {
      const body =
        call?.service === 'ec2'
          ? ec2FaultBody(fault.code, fault.message, requestId)
          : faultBody(fault.code, fault.message, fault.status, requestId);
      return send(response, fault.status, body, requestId);
    }
    // What a refusal says beside code and message: why each part of a transaction was refused.
    const { members } = fault as { members?: object };
    const body = JSON.stringify({ __type: JSON_CODES[fault.code] ?? fault.code, message: fault.message, ...members });
    const status = fault.status >= 500 ? fault.status : 400;
    send(response, status, body, requestId, request.headers['content-type'] ?? JSON_TYPE);
  }
}

/** What services of the JSON protocols call these refusals. */
const JSON_CODES: Record<string, string> = {
  InvalidClientTokenId: 'UnrecognizedClientException',
  AccessDenied: 'AccessDeniedException',
  SignatureDoesNotMatch: 'InvalidSignatureException',
  MissingAuthenticationToken: 'MissingAuthenticationTokenException',
  ExpiredToken: 'ExpiredTokenException',
  Throttling: 'ThrottlingException',
};

/** The members of a call that we answer, without secrets. */
function loggedInput(
  service: string,
  form: ReadonlyMap<string, string>,
  body: Buffer | undefined,
): CallRecord['params'] {
  if (service === 'elasticache') return redacted(form);
  if (service === 'dms') return loggedJson((body ?? Buffer.alloc(0)).toString('utf8'));
  return loggedOwn(service, form, body);
}

function cut({ response, call }: Exchange): void {
  call.outcome = 'dropped';
  response.socket?.destroy();
}

function send(response: ServerResponse, status: number, body: string, requestId: string, type = 'text/xml'): void {
  if (response.destroyed) return;
  response.writeHead(status, {
    'content-type': type,
    'x-amzn-requestid': requestId,
    'content-length': Buffer.byteLength(body),
  });
  response.end(body);
}
