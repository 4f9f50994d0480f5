/** The application's own HTTP address: where a migration's webhook hook sends it to the new server. */
import { z } from 'zod';
import { jsonBody, messageOf, serveControl, type ControlServer } from './control-server.ts';
import type { App } from './writer.ts';

const endpoint = z.object({ host: z.string().min(1), port: z.coerce.number().int().min(1).max(65535) });

/**
 * `POST /switch {"host", "port"}` answers 200 once every client has a connection there, 503 where it can't be reached;
 * `GET /stats`; `POST /stop` ends the writing and answers when the record is complete.
 */
export function controlApp(app: App, options: { port?: number; onStop?: () => void } = {}): Promise<ControlServer> {
  return serveControl(
    async (what, request) => {
      if (what === 'GET /stats') return { status: 200, body: { run: app.run, ...app.stats() } };
      if (what === 'POST /stop') {
        await app.stop();
        return { status: 200, body: app.stats(), ended: true };
      }
      if (what !== 'POST /switch') return { status: 404, body: { error: `no such address: ${what}` } };
      const given = endpoint.safeParse(await jsonBody(request));
      if (!given.success) return { status: 400, body: { error: 'expected {"host": "…", "port": …}' } };
      try {
        await app.switchTo(given.data);
        return { status: 200, body: { endpoint: given.data } };
      } catch (error) {
        return { status: 503, body: { error: messageOf(error) } };
      }
    },
    { port: options.port, onEnd: options.onStop },
  );
}
