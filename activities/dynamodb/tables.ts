/** What DynamoDB says of a table and its point-in-time recovery. */
import {
  DescribeContinuousBackupsCommand,
  DescribeTableCommand,
  type TableDescription,
} from '@aws-sdk/client-dynamodb';
import { ErrorType } from '../../spec/errors.ts';
import { dynamodb, type AwsTarget } from '../aws/clients.ts';
import { awsFailure, isCode } from '../aws/failure.ts';
import { permanent } from '../errors.ts';

/** The table; undefined where there is none of this name or ARN. @throws cutover.Denied, cutover.Throttled, cutover.Unreachable */
export async function findTable(table: string, aws: AwsTarget = {}): Promise<TableDescription | undefined> {
  try {
    return (await dynamodb(aws).send(new DescribeTableCommand({ TableName: table }))).Table;
  } catch (error) {
    if (isCode(error, 'ResourceNotFound')) return undefined;
    throw awsFailure(error, `DescribeTable ${table}`);
  }
}

/** @throws cutover.NotFound where there is none; else as findTable */
export async function requireTable(table: string, aws: AwsTarget = {}): Promise<TableDescription> {
  const found = await findTable(table, aws);
  if (found) return found;
  throw permanent(ErrorType.notFound, `there is no table ${table}`, {
    remedy: `check the name, and the Region and account of the worker: aws dynamodb list-tables${regionFlag(aws)}`,
  });
}

export interface Recovery {
  enabled: boolean;
  /** ISO; absent where it is off, and for a moment after it was switched on. */
  earliest?: string;
  latest?: string;
  days?: number;
}

/** The table's point-in-time recovery. @throws cutover.NotFound, cutover.Denied and the passing ones */
export async function recoveryOf(table: string, aws: AwsTarget = {}): Promise<Recovery> {
  try {
    const answer = await dynamodb(aws).send(new DescribeContinuousBackupsCommand({ TableName: table }));
    const found = answer.ContinuousBackupsDescription?.PointInTimeRecoveryDescription;
    return {
      enabled: found?.PointInTimeRecoveryStatus === 'ENABLED',
      ...(found?.EarliestRestorableDateTime ? { earliest: found.EarliestRestorableDateTime.toISOString() } : {}),
      ...(found?.LatestRestorableDateTime ? { latest: found.LatestRestorableDateTime.toISOString() } : {}),
      ...(found?.RecoveryPeriodInDays === undefined ? {} : { days: found.RecoveryPeriodInDays }),
    };
  } catch (error) {
    throw awsFailure(error, `DescribeContinuousBackups of ${table}`);
  }
}

/** For the commands of remedies. */
export function regionFlag(aws: AwsTarget = {}): string {
  return aws.region ? ` --region ${aws.region}` : '';
}

/** The command that switches point-in-time recovery on. */
export function enableCommand(table: string, aws: AwsTarget = {}): string {
  return `aws dynamodb update-continuous-backups${regionFlag(aws)} --table-name ${table} --point-in-time-recovery-specification PointInTimeRecoveryEnabled=true`;
}
