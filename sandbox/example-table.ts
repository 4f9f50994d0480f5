/** A table of DynamoDB with items of every type, for the examples and for the tests. */
import {
  BatchWriteItemCommand,
  CreateTableCommand,
  UpdateContinuousBackupsCommand,
  type AttributeValue,
  type DynamoDBClient,
} from '@aws-sdk/client-dynamodb';

/** BatchWriteItem takes no more. */
const BATCH = 25;

/** Without items. @throws Error of the SDK; ResourceInUseException where it is there already */
export async function createTable(db: DynamoDBClient, name: string): Promise<void> {
  await db.send(
    new CreateTableCommand({
      TableName: name,
      AttributeDefinitions: [
        { AttributeName: 'id', AttributeType: 'S' },
        { AttributeName: 'at', AttributeType: 'N' },
      ],
      KeySchema: [
        { AttributeName: 'id', KeyType: 'HASH' },
        { AttributeName: 'at', KeyType: 'RANGE' },
      ],
      BillingMode: 'PAY_PER_REQUEST',
    }),
  );
}

/** Writes the items of these numbers. @throws Error of the SDK */
export async function putItems(db: DynamoDBClient, table: string, first: number, count: number): Promise<void> {
  const numbers = Array.from({ length: count }, (_, index) => first + index);
  for (let at = 0; at < count; at += BATCH) {
    const requests = numbers.slice(at, at + BATCH).map((number) => ({ PutRequest: { Item: itemOf(table, number) } }));
    await db.send(new BatchWriteItemCommand({ RequestItems: { [table]: requests } }));
  }
}

/** Turns point-in-time recovery on or off. @throws Error of the SDK */
export async function setRecovery(db: DynamoDBClient, table: string, on: boolean): Promise<void> {
  await db.send(
    new UpdateContinuousBackupsCommand({
      TableName: table,
      PointInTimeRecoverySpecification: { PointInTimeRecoveryEnabled: on },
    }),
  );
}

/** An item with every type that DynamoDB has; the same for the same number. */
function itemOf(table: string, number: number): Record<string, AttributeValue> {
  return {
    id: { S: `${table}-${number}` },
    at: { N: String(1_700_000_000 + number) },
    total: { N: `${number}.5` },
    paid: { BOOL: number % 2 === 0 },
    note: number % 3 === 0 ? { NULL: true } : { S: `注文 ${number}\n"quoted"` },
    tags: { SS: ['new', `group-${number % 7}`] },
    lines: { L: [{ M: { sku: { S: `sku-${number}` }, count: { N: '2' } } }] },
    receipt: { B: Uint8Array.of(number % 256, 0, 255) },
  };
}
