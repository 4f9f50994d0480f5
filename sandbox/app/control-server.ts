/** The HTTP address of an application of the sandbox: JSON in, JSON out, on 127.0.0.1. */
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

const LARGEST_BODY = 10_000;

export interface ControlServer {
  url: string;
  close(): Promise<void>;
}

export interface ControlAnswer {
  status: number;
  body: unknown;
  /** The application has ended with this; `onEnd` is called once the answer is out. */
  ended?: boolean;
}

/**
 * Serves what `handle` answers to `METHOD /path`; what it throws is a 500 with the reason.
 * @throws Error of node:http where the port is taken
 */
export async function serveControl(
  handle: (what: string, request: IncomingMessage) => Promise<ControlAnswer>,
  options: { port?: number | undefined; onEnd?: (() => void) | undefined } = {},
): Promise<ControlServer> {
  const server = createServer((request, response) => {
    const answer = ({ status, body, ended }: ControlAnswer): void => {
      if (ended) response.once('finish', () => options.onEnd?.());
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    };
    handle(`${request.method} ${request.url}`, request).then(answer, (error: unknown) =>
      answer({ status: 500, body: { error: messageOf(error) } }),
    );
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host: '127.0.0.1', port: options.port ?? 0 }, resolve);
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () => closeServer(server),
  };
}

/** The request's JSON; undefined where it is none, or too long. */
export async function jsonBody(request: IncomingMessage): Promise<unknown> {
  let text = '';
  for await (const chunk of request) {
    text += String(chunk);
    if (text.length > LARGEST_BODY) return undefined;
  }
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}
