/** The application's own HTTP address: where a migration's webhook hook sends it to the new server. */
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { z } from 'zod';
import type { App } from './writer.ts';

const endpoint = z.object({ host: z.string().min(1), port: z.coerce.number().int().min(1).max(65535) });
const LARGEST_BODY = 10_000;

export interface AppControl {
  url: string;
  close(): Promise<void>;
}

/**
 * `POST /switch {"host", "port"}` answers 200 once every client has a connection there, 503 where it can't be reached;
 * `GET /stats`; `POST /stop` ends the writing and answers when the record is complete.
 */
export async function controlApp(app: App, options: { port?: number; onStop?: () => void } = {}): Promise<AppControl> {
  const server = createServer((request, response) => {
    const answer = (status: number, body: unknown): void => {
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    };
    handle(app, request).then(
      ({ status, body, ended }) => {
        if (ended) response.once('finish', () => options.onStop?.());
        answer(status, body);
      },
      (error: unknown) => answer(500, { error: messageOf(error) }),
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

async function handle(app: App, request: IncomingMessage): Promise<{ status: number; body: unknown; ended?: boolean }> {
  const what = `${request.method} ${request.url}`;
  if (what === 'GET /stats') return { status: 200, body: { run: app.run, ...app.stats() } };
  if (what === 'POST /stop') {
    await app.stop();
    return { status: 200, body: app.stats(), ended: true };
  }
  if (what !== 'POST /switch') return { status: 404, body: { error: `no such address: ${what}` } };
  const given = endpoint.safeParse(parsed(await bodyOf(request)));
  if (!given.success) return { status: 400, body: { error: 'expected {"host": "…", "port": …}' } };
  try {
    await app.switchTo(given.data);
    return { status: 200, body: { endpoint: given.data } };
  } catch (error) {
    return { status: 503, body: { error: messageOf(error) } };
  }
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  let text = '';
  for await (const chunk of request) {
    text += String(chunk);
    if (text.length > LARGEST_BODY) return '';
  }
  return text;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
