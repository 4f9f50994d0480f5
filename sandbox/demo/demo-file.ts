/** The migration's file for the demo: one of examples/, with the demo's own addresses filled in. */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseDocument } from 'yaml';

export type Engine = 'elasticache' | 'replicaof';

export interface DemoFileOptions {
  engine: Engine;
  path: string;
  source: { host: string; port: number };
  /** For `engine: replicaof`. */
  target?: { host: string; port: number } | undefined;
  /** Of the application: it is sent to the target by this address. */
  switchUrl: string;
}

/** @returns the migration's id */
export function writeDemoFile({ engine, path, source, target, switchUrl }: DemoFileOptions): string {
  const document = parseDocument(readFileSync(exampleOf(engine), 'utf8'));
  document.setIn(['source', 'host'], source.host);
  document.setIn(['source', 'port'], source.port);
  if (target) {
    document.setIn(['target', 'host'], target.host);
    document.setIn(['target', 'port'], target.port);
  }
  document.set('switch', [
    {
      type: 'webhook',
      name: 'the application goes to the target',
      url: switchUrl,
      body: { host: '${target.host}', port: '${target.port}' },
      undo: { url: switchUrl, body: { host: source.host, port: source.port } },
      timeout: '10s',
    },
  ]);
  // Somebody is looking on.
  document.setIn(['inSync', 'interval'], '200ms');
  document.set('soak', '3s');
  // The comments are the example's, and speak of its own values.
  document.commentBefore = ` The demo's own: examples/redis-${engine}.yaml with this demo's addresses filled in.`;
  writeFileSync(path, String(document));
  return String(document.get('id'));
}

/** From dist/ it is one folder further up. */
function exampleOf(engine: Engine): string {
  const up = import.meta.url.endsWith('.ts') ? '../../' : '../../../';
  return fileURLToPath(new URL(`${up}examples/redis-${engine}.yaml`, import.meta.url));
}
