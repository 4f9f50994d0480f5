import { S3Client } from '@aws-sdk/client-s3';
import type { Forwarder } from '../forwarding.ts';
import { PassedOnFault, refusal } from './faults.ts';

/** An item as it is on the wire: `{"id":{"S":"1"}}`. Never unmarshalled, so that nothing of it changes on the way. */
export type Item = Record<string, Record<string, unknown>>;

export interface TableInfo {
  TableName: string;
  TableArn: string;
  TableId: string;
  TableStatus: string;
  KeySchema: { AttributeName: string; KeyType: string }[];
  AttributeDefinitions: { AttributeName: string; AttributeType: string }[];
  [member: string]: unknown;
}

/** What CreateTable takes; whether it is right is moto's to say. */
export interface NewTable {
  TableName: string;
  [member: string]: unknown;
}

/** Most keys of a BatchGetItem, and most writes of a BatchWriteItem: AWS's limits. */
const READS = 100;
const WRITES = 25;

/** Moto, as the emulated service itself sees it: the tables, and the customer's buckets. */
export class Moto {
  readonly #region: string;
  readonly #forwarder: Forwarder;
  readonly #identified: (table: TableInfo) => TableInfo;
  #s3: Promise<S3Client> | undefined;

  /** @param identified puts the TableId in, which moto does not have */
  constructor(region: string, forwarder: Forwarder, identified: (table: TableInfo) => TableInfo) {
    this.#region = region;
    this.#forwarder = forwarder;
    this.#identified = identified;
  }

  /** One call of DynamoDB with its body as it is. @throws PassedOnFault when it is refused. */
  async raw(action: string, body: string): Promise<string> {
    const answer = await fetch(await this.#forwarder.url(), {
      method: 'POST',
      headers: {
        'content-type': 'application/x-amz-json-1.0',
        'x-amz-target': `DynamoDB_20120810.${action}`,
        // Moto reads service and Region from here, and does not check the signature.
        authorization: `AWS4-HMAC-SHA256 Credential=sandbox/20260101/${this.#region}/dynamodb/aws4_request, SignedHeaders=host, Signature=sandbox`,
      },
      body,
    });
    const text = await answer.text();
    if (!answer.ok) throw PassedOnFault.from(answer.status, text);
    return text;
  }

  async call<T>(action: string, input: object): Promise<T> {
    return JSON.parse(await this.raw(action, JSON.stringify(input))) as T;
  }

  /** Undefined when there is no such table. */
  async table(name: string): Promise<TableInfo | undefined> {
    try {
      return this.#identified((await this.call<{ Table: TableInfo }>('DescribeTable', { TableName: name })).Table);
    } catch (error) {
      if (error instanceof PassedOnFault && error.code.endsWith('ResourceNotFoundException')) return undefined;
      throw error;
    }
  }

  /** All items of a table, as they are now. */
  async scan(table: string): Promise<Item[]> {
    const items: Item[] = [];
    let from: Item | undefined;
    do {
      const page: { Items?: Item[]; LastEvaluatedKey?: Item } = await this.call('Scan', {
        TableName: table,
        ConsistentRead: true,
        ...(from === undefined ? {} : { ExclusiveStartKey: from }),
      });
      items.push(...(page.Items ?? []));
      from = page.LastEvaluatedKey;
    } while (from !== undefined);
    return items;
  }

  /** The items of these keys that there are; the keys must differ. */
  async get(table: string, keys: readonly Item[]): Promise<Item[]> {
    const found: Item[] = [];
    for (let left = [...keys]; left.length > 0;) {
      const Keys = left.splice(0, READS);
      const page: { Responses?: Record<string, Item[]>; UnprocessedKeys?: Record<string, { Keys: Item[] }> } =
        await this.call('BatchGetItem', { RequestItems: { [table]: { Keys, ConsistentRead: true } } });
      found.push(...(page.Responses?.[table] ?? []));
      left = [...(page.UnprocessedKeys?.[table]?.Keys ?? []), ...left];
    }
    return found;
  }

  /** Puts items whose keys differ. */
  async put(table: string, items: readonly Item[]): Promise<void> {
    for (let left = items.map((item) => ({ PutRequest: { Item: item } })); left.length > 0;) {
      const batch = left.splice(0, WRITES);
      const page: { UnprocessedItems?: Record<string, typeof batch> } = await this.call('BatchWriteItem', {
        RequestItems: { [table]: batch },
      });
      left = [...(page.UnprocessedItems?.[table] ?? []), ...left];
    }
  }

  /** @throws AwsFault TableAlreadyExistsException. */
  async createTable(input: NewTable): Promise<TableInfo> {
    try {
      const answer = await this.call<{ TableDescription: TableInfo }>('CreateTable', input);
      return this.#identified(answer.TableDescription);
    } catch (error) {
      if (error instanceof PassedOnFault && error.code.endsWith('ResourceInUseException')) {
        throw refusal('TableAlreadyExistsException', `Table already exists: ${input.TableName}`);
      }
      throw error;
    }
  }

  async s3(): Promise<S3Client> {
    this.#s3 ??= this.#forwarder.url().then(
      (endpoint) =>
        new S3Client({
          endpoint,
          region: this.#region,
          forcePathStyle: true,
          credentials: { accessKeyId: 'sandbox', secretAccessKey: 'sandbox' },
        }),
    );
    return this.#s3.catch((error: unknown) => {
      this.#s3 = undefined;
      throw error;
    });
  }
}
