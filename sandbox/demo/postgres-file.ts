/** The migration's file for the Postgres demo: examples/postgres-redash.yaml with the demo's own addresses filled in. */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { isScalar, parseDocument, visit } from 'yaml';
import type { PgAddress } from '../app/redash/endpoint.ts';

/** Where the example has its source, target and application; every value with one of these ports is put in its place. */
const EXAMPLE = { source: 5433, target: 5434, application: 'http://127.0.0.1:5435' };

export interface PostgresFileOptions {
  path: string;
  source: PgAddress;
  target: PgAddress;
  /** Of the application: it is stopped, sent over and asked at this address. */
  applicationUrl: string;
}

/** @returns the migration's id */
export function writePostgresFile({ path, source, target, applicationUrl }: PostgresFileOptions): string {
  const document = parseDocument(readFileSync(exampleFile(), 'utf8'));
  visit(document, {
    Scalar: (_key, node) => {
      if (node.value === EXAMPLE.source) node.value = source.port;
      else if (node.value === EXAMPLE.target) node.value = target.port;
      else if (typeof node.value === 'string') node.value = node.value.replace(EXAMPLE.application, applicationUrl);
    },
  });
  // Somebody is looking on.
  document.setIn(['ready', 'interval'], '500ms');
  document.set('soak', '3s');
  // The comments are the example's, and speak of its own values.
  document.commentBefore = " The demo's own: examples/postgres-redash.yaml with this demo's addresses filled in.";
  writeFileSync(path, String(document));
  const id = document.get('id', true);
  return String(isScalar(id) ? id.value : id);
}

/** From dist/ it is one folder further up. */
function exampleFile(): string {
  const up = import.meta.url.endsWith('.ts') ? '../../' : '../../../';
  return fileURLToPath(new URL(`${up}examples/postgres-redash.yaml`, import.meta.url));
}
