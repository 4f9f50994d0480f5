/** The application as a program of its own. Its record is in --ack-file; --http-port takes commands (control.ts). */
import { parseArgs } from 'node:util';
import { controlApp } from './control.ts';
import { startApp } from './writer.ts';

const { values } = parseArgs({
  options: {
    host: { type: 'string', default: '127.0.0.1' },
    port: { type: 'string' },
    'http-port': { type: 'string' },
    'ack-file': { type: 'string' },
    run: { type: 'string' },
    clients: { type: 'string', default: '8' },
    rate: { type: 'string', default: '2000' },
  },
});
if (values.port === undefined) throw new Error("--port: expected the source's port");

const password = process.env['APP_REDIS_PASSWORD'];
const app = startApp({
  endpoint: { host: values.host, port: Number(values.port), ...(password ? { password } : {}) },
  clients: Number(values.clients),
  rate: Number(values.rate),
  ...(values.run ? { run: values.run } : {}),
  ...(values['ack-file'] ? { ackFile: values['ack-file'] } : {}),
});
const stop = (): void => {
  void app.stop().then(() => control.close());
};
const control = await controlApp(app, {
  ...(values['http-port'] ? { port: Number(values['http-port']) } : {}),
  onStop: stop,
});
process.once('SIGTERM', stop);
process.once('SIGINT', stop);
