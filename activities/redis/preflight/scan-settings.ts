/** How a setting of a server is changed: by CONFIG SET, or where ElastiCache keeps it. */
import { awsElastiCache, redisCli } from './commands.ts';
import type { RedisProbe } from './probe.ts';
import type { ScanContext } from './scan-context.ts';

/** Not settable while it runs. */
const FIXED = new Set(['databases']);

/** The command that sets it on this server. @throws CannotCheck where the server can't be asked what it is */
export async function setCommand(c: ScanContext, probe: RedisProbe, name: string, value: string): Promise<string> {
  const { os = '' } = await probe.info();
  if (os.includes('ElastiCache')) {
    return awsElastiCache(
      c.migration.aws.region,
      'modify-cache-parameter-group',
      '--cache-parameter-group-name',
      '<its parameter group>',
      '--parameter-name-values',
      `ParameterName=${name},ParameterValue=${value}`,
    );
  }
  return FIXED.has(name)
    ? `set "${name} ${value}" in redis.conf of the ${probe.side} ${probe.where}, and restart it`
    : redisCli(probe.endpoint, 'CONFIG', 'SET', name, value);
}
