/** Exports as AWS lists them: 25 a page, 90 days back, with nothing but their ARN and state (facts/redis-aws 3.4). */
import {
  DescribeExportCommand,
  paginateListExports,
  type ExportDescription,
  type ExportSummary,
} from '@aws-sdk/client-dynamodb';
import { dynamodb, type AwsTarget } from '../aws/clients.ts';
import { awsFailure, isCode } from '../aws/failure.ts';
import { startOfExport } from './export-prefix.ts';

/** AWS takes no more. */
const PAGE = 25;

/** All exports, or those of one table. @throws cutover.Denied and the passing ones */
export async function listExports(args: { tableArn?: string; aws: AwsTarget }): Promise<ExportSummary[]> {
  const { tableArn, aws } = args;
  const found: ExportSummary[] = [];
  try {
    const pages = paginateListExports(
      { client: dynamodb(aws) },
      { MaxResults: PAGE, ...(tableArn ? { TableArn: tableArn } : {}) },
    );
    for await (const { ExportSummaries = [] } of pages) found.push(...ExportSummaries);
  } catch (error) {
    throw awsFailure(error, `ListExports${tableArn ? ` of ${tableArn}` : ''}`);
  }
  return found;
}

/** undefined where AWS knows none of this ARN (any more). @throws cutover.Denied and the passing ones */
export async function findExport(exportArn: string, aws: AwsTarget): Promise<ExportDescription | undefined> {
  try {
    return (await dynamodb(aws).send(new DescribeExportCommand({ ExportArn: exportArn }))).ExportDescription;
  } catch (error) {
    if (isCode(error, 'ExportNotFound')) return undefined;
    throw awsFailure(error, `DescribeExport ${exportArn}`);
  }
}

/**
 * A table's exports, described, newest first. @param args.sinceMs Epoch ms: older ones are left out where their id tells
 * when they were begun.
 */
export async function describeExports(args: {
  tableArn: string;
  sinceMs?: number;
  aws: AwsTarget;
}): Promise<ExportDescription[]> {
  const described: ExportDescription[] = [];
  for (const { ExportArn } of await listExports(args)) {
    if (!ExportArn) continue;
    const begun = startOfExport(ExportArn);
    if (args.sinceMs !== undefined && begun !== undefined && begun < args.sinceMs) continue;
    const found = await findExport(ExportArn, args.aws);
    if (found) described.push(found);
  }
  return described.sort((a, b) => (b.StartTime?.getTime() ?? 0) - (a.StartTime?.getTime() ?? 0));
}
