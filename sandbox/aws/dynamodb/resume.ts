import type { Cloud } from '../cloud.ts';
import { runExport } from './export-job.ts';
import { runImport } from './import-job.ts';
import { keysOf } from './imports.ts';
import { runRestore } from './restore.ts';
import { dynamoDbOf } from './service.ts';

/**
 * Takes up what was under way when the sandbox ended. It goes on with the first call of DynamoDB, which brings the way to
 * moto. What moto has lost with its process is not mended.
 */
export function resumeDynamoDb(cloud: Cloud): Promise<void> {
  const db = dynamoDbOf(cloud);
  const { exports, imports, made } = db.state;
  for (const task of Object.values(exports)) if (task.status === 'IN_PROGRESS') runExport(db, task);
  for (const task of Object.values(imports)) if (task.status === 'IN_PROGRESS') runImport(db, task, keysOf(task));
  for (const table of Object.values(made)) if (table.status === 'CREATING') runRestore(db, table);
  return Promise.resolve();
}
