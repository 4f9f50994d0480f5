/** A migration as its YAML file says it: one schema over all kinds. */
import { z } from 'zod';
import { elasticacheBackup } from './kind-elasticache-backup.ts';
import { elasticacheRestore } from './kind-elasticache-restore.ts';
import { elasticacheRetire } from './kind-elasticache-retire.ts';
import { dynamodbExport } from './kind-dynamodb-export.ts';
import { dynamodbRestore } from './kind-dynamodb-restore.ts';
import { machineBackup } from './kind-machine-backup.ts';
import { machineRestore } from './kind-machine-restore.ts';
import { postgres } from './kind-postgres.ts';
import { redisDualWrite } from './kind-redis-dual-write.ts';
import { redisOffline } from './kind-redis-offline.ts';
import { redisOnline } from './kind-redis-online.ts';

export const KINDS = [
  'redis-online',
  'redis-offline',
  'redis-dual-write',
  'postgres',
  'elasticache-backup',
  'elasticache-restore',
  'elasticache-retire',
  'dynamodb-export',
  'dynamodb-restore',
  'machine-backup',
  'machine-restore',
] as const;
export type Kind = (typeof KINDS)[number];

/** The whole file. Parsing fills in every default, so that a workflow never has to know one. */
export const migrationFile = z.discriminatedUnion(
  'kind',
  [
    redisOnline,
    redisOffline,
    redisDualWrite,
    postgres,
    elasticacheBackup,
    elasticacheRestore,
    elasticacheRetire,
    dynamodbExport,
    dynamodbRestore,
    machineBackup,
    machineRestore,
  ],
  {
    error: `expected one of: ${KINDS.join(', ')}`,
  },
);
export type Migration = z.output<typeof migrationFile>;

/** JSON Schema of the file, for editors (`cutover schema`). */
export function migrationJsonSchema(): object {
  return { title: 'cutover migration', ...z.toJSONSchema(migrationFile, { io: 'input', unrepresentable: 'any' }) };
}
