/** Certificates of the tests' own, signed by themselves. */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';

/** @param names as openssl wants them: `DNS:localhost,IP:127.0.0.1` */
export function certificate(dir: string, names = 'DNS:localhost'): { cert: string; key: string } {
  const of = names.replaceAll(/\W/g, '-');
  const [cert, key] = [join(dir, `${of}.pem`), join(dir, `${of}-key.pem`)];
  const how = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'];
  const subject = ['-subj', '/CN=localhost', '-addext', `subjectAltName=${names}`];
  execFileSync('openssl', [...how, ...subject, '-keyout', key, '-out', cert], { stdio: 'pipe' });
  return { cert, key };
}
