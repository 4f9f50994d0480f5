/** Whether the new group can load the RDB that was really made: known from its own bytes, minutes before AWS says so. */
import type { RedisOffline } from '../../../spec/kind-redis-offline.ts';
import { ErrorType } from '../../../spec/errors.ts';
import type { RdbFacts } from '../../../spec/redis-rdb.ts';
import { permanent } from '../../errors.ts';
import { whyNotLoadable } from '../rdb/versions.ts';

/**
 * Without `to.engineVersion` the version that AWS takes is not known, and nothing is judged.
 * @throws cutover.Invalid where the file's engine version is too old for it
 */
export async function requireLoadable({ migration, rdb }: { migration: RedisOffline; rdb: RdbFacts }): Promise<void> {
  const { engine = 'redis', engineVersion: version } = migration.to;
  const why = version === undefined ? undefined : whyNotLoadable(rdb.version, { engine, version });
  if (why === undefined) return;
  throw permanent(ErrorType.invalid, why, {
    remedy: 'abort, and start again with a higher to.engineVersion, or with to.engine: valkey',
  });
}
