/** The application as a program of its own. Its record is in --record; --http-port takes commands (control.ts). */
import { parseArgs } from 'node:util';
import { startRedashApp } from './app.ts';
import { controlRedashApp } from './control.ts';
import { APPLICATION_ROLE, REDASH_DATABASE } from './roles.ts';

const { values } = parseArgs({
  options: {
    host: { type: 'string', default: '127.0.0.1' },
    port: { type: 'string' },
    database: { type: 'string', default: REDASH_DATABASE },
    user: { type: 'string', default: APPLICATION_ROLE },
    'http-port': { type: 'string' },
    record: { type: 'string' },
    run: { type: 'string' },
    clients: { type: 'string', default: '8' },
    stragglers: { type: 'string', default: '0' },
    rate: { type: 'string', default: '200' },
  },
});
if (values.port === undefined) throw new Error("--port: expected the source's port");

const app = await startRedashApp({
  endpoint: {
    host: values.host,
    port: Number(values.port),
    database: values.database,
    user: values.user,
    password: process.env['APP_REDASH_PASSWORD'] ?? '',
  },
  clients: Number(values.clients),
  stragglers: Number(values.stragglers),
  rate: Number(values.rate),
  ...(values.run ? { run: values.run } : {}),
  ...(values.record ? { recordFile: values.record } : {}),
});
const stop = (): void => {
  void app.end().then(() => control.close());
};
const control = await controlRedashApp(app, {
  ...(values['http-port'] ? { port: Number(values['http-port']) } : {}),
  onEnd: stop,
});
process.once('SIGTERM', stop);
process.once('SIGINT', stop);
