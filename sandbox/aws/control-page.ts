import type { IncomingMessage, ServerResponse } from 'node:http';
import { ZodError, prettifyError } from 'zod';
import { COMMANDS } from './control.ts';
import type { Control } from './control.ts';
import { DYNAMODB_SCHEMAS } from './dynamodb/control.ts';
import { MACHINES_SCHEMAS } from './ec2/control-schemas.ts';
import { readBody } from './request-body.ts';

const PREFIX = '/_sandbox/';

/** Commands of a part of the control: `dynamodb/failExport`. */
const PARTS = {
  dynamodb: DYNAMODB_SCHEMAS,
  machines: MACHINES_SCHEMAS,
} as const;
const ALL = [
  ...Object.keys(COMMANDS),
  ...Object.entries(PARTS).flatMap(([part, commands]) => Object.keys(commands).map((command) => `${part}/${command}`)),
];

/**
 * The sandbox's controls for other processes: `POST /_sandbox/<command>` with the command's arguments as one JSON object.
 * Answers JSON: what the command returns, or `{ error }` with 400.
 */
export class ControlPage {
  readonly #control: Control;

  constructor(control: Control) {
    this.#control = control;
  }

  async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      const result = await this.#run(request);
      reply(response, 200, result ?? {});
    } catch (error) {
      const message =
        error instanceof ZodError ? prettifyError(error) : error instanceof Error ? error.message : String(error);
      reply(response, 400, { error: message });
    }
  }

  async #run(request: IncomingMessage): Promise<unknown> {
    const name = (request.url ?? '').slice(PREFIX.length).split('?')[0] ?? '';
    if (request.method !== 'POST' || !ALL.includes(name)) {
      throw new Error(
        `${request.method ?? ''} ${request.url ?? ''} is no command of the sandbox. POST ${PREFIX}<command>, one of: ${ALL.join(', ')}.`,
      );
    }
    const body = (await readBody(request)).toString('utf8').trim();
    // A browser's page cannot send this type to us without asking first, and is not answered: no site can script us.
    if (request.headers['content-type']?.startsWith('application/json') !== true) {
      throw new Error('Send the arguments as content-type: application/json.');
    }
    const given: unknown = body === '' ? {} : JSON.parse(body);
    const [part, command] = name.includes('/') ? (name.split('/') as [keyof typeof PARTS, string]) : [undefined, name];
    const on = (part === undefined ? this.#control : this.#control[part]) as unknown as Record<string, Command>;
    return on[command]!(given);
  }
}

type Command = (given: unknown) => unknown;

function reply(response: ServerResponse, status: number, body: unknown): void {
  const text = JSON.stringify(body);
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) });
  response.end(text);
}
