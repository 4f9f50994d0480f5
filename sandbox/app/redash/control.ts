/** The application's own HTTP address: where a migration's hooks stop it, start it and send it over, and its checks ask. */
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { z } from 'zod';
import type { RedashApp } from './app.ts';

const address = z.object({
  host: z.string().min(1),
  port: z.coerce.number().int().min(1).max(65535),
  database: z.string().min(1),
  start: z.boolean().default(true),
});
const LARGEST_BODY = 10_000;

export interface RedashControl {
  url: string;
  close(): Promise<void>;
}

interface Answer {
  status: number;
  body: unknown;
  ended?: boolean;
}

/**
 * `POST /stop` stops the service and answers once it writes no more; `POST /start`;
 * `POST /switch {"host", "port", "database", "start"?}` sends it to another database and starts it there (unless `"start": false`);
 * `GET /health` answers 200 with what a SELECT found, 503 with the reason; `GET /stats`; `POST /end` ends the application and answers
 * when its record is complete. Each may be called again.
 */
export async function controlRedashApp(
  app: RedashApp,
  options: { port?: number; onEnd?: () => void } = {},
): Promise<RedashControl> {
  const server = createServer((request, response) => {
    const answer = (status: number, body: unknown): void => {
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    };
    handle(app, request).then(
      ({ status, body, ended }) => {
        if (ended) response.once('finish', () => options.onEnd?.());
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

async function handle(app: RedashApp, request: IncomingMessage): Promise<Answer> {
  const what = `${request.method} ${request.url}`;
  switch (what) {
    case 'GET /stats':
      return { status: 200, body: app.stats() };
    case 'GET /health':
      return app.health().then(
        (body) => ({ status: 200, body }),
        (error: unknown) => ({ status: 503, body: { error: messageOf(error) } }),
      );
    case 'POST /stop':
      await app.stopService();
      return { status: 200, body: { writing: false } };
    case 'POST /start':
      app.startService();
      return { status: 200, body: { writing: true } };
    case 'POST /end':
      await app.end();
      return { status: 200, body: app.stats(), ended: true };
    case 'POST /switch': {
      const given = address.safeParse(parsed(await bodyOf(request)));
      if (!given.success) return { status: 400, body: { error: 'expected {"host": "…", "port": …, "database": "…"}' } };
      app.switchTo(given.data);
      if (given.data.start) app.startService();
      return { status: 200, body: given.data };
    }
    default:
      return { status: 404, body: { error: `no such address: ${what}` } };
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
