/** Commands as an operator can paste them. A password is never in one: redis-cli asks for it. */
import type { RedisEndpoint } from '../../../spec/values.ts';

/** `redis-cli -h … -p … CONFIG SET …` for this endpoint, quoted for a shell. */
export function redisCli(endpoint: RedisEndpoint, ...command: string[]): string {
  const tls = typeof endpoint.tls === 'object' ? endpoint.tls : {};
  const words = [
    'redis-cli',
    '-h',
    endpoint.host,
    '-p',
    String(endpoint.port),
    ...(endpoint.tls ? ['--tls'] : []),
    ...(tls.ca ? ['--cacert', tls.ca] : []),
    ...(tls.serverName ? ['--sni', tls.serverName] : []),
    ...(endpoint.username ? ['--user', endpoint.username] : []),
    ...(endpoint.password ? ['--askpass'] : []),
    ...command,
  ];
  return words.map(quoted).join(' ');
}

/** `aws elasticache …` in the migration's region, quoted for a shell. */
export function awsElastiCache(region: string | undefined, ...words: string[]): string {
  return ['aws', 'elasticache', ...words, ...(region ? ['--region', region] : [])].map(quoted).join(' ');
}

function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
