import {
  DescribeContinuousBackups$,
  DescribeExport$,
  DescribeImport$,
  ExportTableToPointInTime$,
  ImportTable$,
  ListExports$,
  ListImports$,
  RestoreTableToPointInTime$,
  UpdateContinuousBackups$,
} from '@aws-sdk/client-dynamodb';
import type { OwnService } from '../services.ts';
import { writeJson } from '../dms/json-protocol.ts';
import { describeExport, exportTable, listExports } from './exports.ts';
import { describeImport, importTable, listImports } from './imports.ts';
import { readInput } from './input.ts';
import { deleteWatchedTable, throughMadeTables } from './made-tables.ts';
import { describeContinuousBackups, updateContinuousBackups } from './recovery.ts';
import { restoreTable } from './restore.ts';
import { dynamoDbOf } from './service.ts';
import type { DynamoDb } from './service.ts';
import { throughTableCalls } from './table-ids.ts';
import { watchWrite } from './writes.ts';

const TYPE = 'application/x-amz-json-1.0';
/** The place of the input's schema in the SDK's schema of an operation. */
const INPUT = 4;

/** The input has been read by the SDK's schema, as in dms/operations.ts. `body` is the request as it came. */
type Handler = (db: DynamoDb, input: never, body: string) => object | Promise<object>;

const OPERATIONS: Readonly<Record<string, readonly [readonly unknown[], Handler]>> = {
  DescribeContinuousBackups: [DescribeContinuousBackups$, describeContinuousBackups],
  UpdateContinuousBackups: [UpdateContinuousBackups$, updateContinuousBackups],
  ExportTableToPointInTime: [ExportTableToPointInTime$, exportTable],
  DescribeExport: [DescribeExport$, describeExport],
  ListExports: [ListExports$, listExports],
  RestoreTableToPointInTime: [RestoreTableToPointInTime$, restoreTable],
  ImportTable: [ImportTable$, importTable],
  DescribeImport: [DescribeImport$, describeImport],
  ListImports: [ListImports$, listImports],
};

/**
 * DynamoDB's exports, imports and point-in-time recovery. Tables and items are moto's: their calls are passed on, and only
 * writes to tables with recovery on are looked at on the way.
 */
export const performDynamoDb: OwnService = async (cloud, call) => {
  const db = dynamoDbOf(cloud);
  db.attach(call.forwarder);
  const operation = Object.hasOwn(OPERATIONS, call.action) ? OPERATIONS[call.action] : undefined;
  if (operation !== undefined) {
    const [schema, handler] = operation;
    const input = readInput(call.text, schema[INPUT]);
    return { body: writeJson(await handler(db, input as never, call.text)), type: TYPE };
  }
  const body =
    (await throughMadeTables(db, call)) ??
    (await deleteWatchedTable(db, call)) ??
    (await throughTableCalls(db, call)) ??
    (await watchWrite(db, call));
  return body === undefined ? undefined : { body, type: TYPE };
};
