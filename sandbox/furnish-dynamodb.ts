/** The tables, the bucket and the parameters that examples/dynamodb-*.yaml name, made by the ordinary AWS SDK. */
import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import {
  CreateBucketCommand,
  PutBucketEncryptionCommand,
  PutBucketVersioningCommand,
  PutPublicAccessBlockCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import { PutParameterCommand, SSMClient } from '@aws-sdk/client-ssm';
import { createTable, putItems, setRecovery } from './example-table.ts';
import { clientSettings, unlessThere } from './make-once.ts';

/** The tables of the examples. */
export const EXAMPLE_TABLES = { orders: 500, customers: 120 } as const;
export const EXAMPLE_BUCKET = 'shop-backups';
/** The article's parameters, under its own names; values in the words that it takes. */
export const EXAMPLE_PARAMETERS: Readonly<Record<string, string>> = {
  '/test/stg/infra/BACKUP_BUCKET_NAME': EXAMPLE_BUCKET,
  '/test/stg/infra/BACKUP_DAY_STR': 'EVERYDAY',
  '/test/stg/infra/BACKUP_HOUR_STR': '03',
  '/test/stg/infra/BACKUP_MINUTE_STR': '0',
  '/test/stg/infra/BACKUP_SECOND_STR': '0',
  '/test/stg/infra/TEST_TABLE_NAME': 'orders',
};

/** What is there already stays. @throws Error of the SDK */
export async function furnishDynamoDb(aws: { url: string; region: string }): Promise<void> {
  const settings = clientSettings(aws);
  const [db, s3, ssm] = [
    new DynamoDBClient(settings),
    new S3Client({ ...settings, forcePathStyle: true }),
    new SSMClient(settings),
  ];
  try {
    await makeBucket(s3, aws.region);
    for (const [name, items] of Object.entries(EXAMPLE_TABLES)) await makeTable(db, name, items);
    for (const [Name, Value] of Object.entries(EXAMPLE_PARAMETERS)) {
      await unlessThere('ParameterAlreadyExists', () =>
        ssm.send(new PutParameterCommand({ Name, Value, Type: 'String' })),
      );
    }
  } finally {
    for (const client of [db, s3, ssm]) client.destroy();
  }
}

async function makeBucket(s3: S3Client, region: string): Promise<void> {
  const constraint =
    region === 'us-east-1' ? {} : { CreateBucketConfiguration: { LocationConstraint: region as never } };
  await unlessThere('BucketAlreadyOwnedByYou', () =>
    s3.send(new CreateBucketCommand({ Bucket: EXAMPLE_BUCKET, ...constraint })),
  );
  // AWS encrypts every new bucket so by itself; moto does not.
  await s3.send(
    new PutBucketEncryptionCommand({
      Bucket: EXAMPLE_BUCKET,
      ServerSideEncryptionConfiguration: {
        Rules: [{ ApplyServerSideEncryptionByDefault: { SSEAlgorithm: 'AES256' } }],
      },
    }),
  );
  await s3.send(
    new PutBucketVersioningCommand({ Bucket: EXAMPLE_BUCKET, VersioningConfiguration: { Status: 'Enabled' } }),
  );
  await s3.send(
    new PutPublicAccessBlockCommand({
      Bucket: EXAMPLE_BUCKET,
      PublicAccessBlockConfiguration: {
        BlockPublicAcls: true,
        IgnorePublicAcls: true,
        BlockPublicPolicy: true,
        RestrictPublicBuckets: true,
      },
    }),
  );
}

async function makeTable(db: DynamoDBClient, name: string, items: number): Promise<void> {
  const made = await unlessThere('ResourceInUseException', async () => {
    await createTable(db, name);
    return true;
  });
  if (!made) return;
  await putItems(db, name, 0, items);
  await setRecovery(db, name, true);
}
