/** The application's own HTTP address: where a migration's hooks stop it, start it and send it over, and its checks ask. */
import type { IncomingMessage } from 'node:http';
import { z } from 'zod';
import { jsonBody, messageOf, serveControl, type ControlAnswer, type ControlServer } from '../control-server.ts';
import type { RedashApp } from './app.ts';

const address = z.object({
  host: z.string().min(1),
  port: z.coerce.number().int().min(1).max(65535),
  database: z.string().min(1),
  start: z.boolean().default(true),
});

/**
 * `POST /stop` stops the service and answers once it writes no more; `POST /start`;
 * `POST /switch {"host", "port", "database", "start"?}` sends it to another database and starts it there (unless `"start": false`);
 * `GET /health` answers 200 with what a SELECT found, 503 with the reason; `GET /stats`; `POST /end` ends the application and answers
 * when its record is complete. Each may be called again.
 */
export function controlRedashApp(
  app: RedashApp,
  options: { port?: number; onEnd?: () => void } = {},
): Promise<ControlServer> {
  return serveControl((what, request) => handle(app, what, request), options);
}

async function handle(app: RedashApp, what: string, request: IncomingMessage): Promise<ControlAnswer> {
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
      const given = address.safeParse(await jsonBody(request));
      if (!given.success) return { status: 400, body: { error: 'expected {"host": "…", "port": …, "database": "…"}' } };
      app.switchTo(given.data);
      if (given.data.start) app.startService();
      return { status: 200, body: given.data };
    }
    default:
      return { status: 404, body: { error: `no such address: ${what}` } };
  }
}
