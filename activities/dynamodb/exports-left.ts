/** After an abort: which exports of this run there are. AWS has no call that ends one, and none that deletes one. */
import type { AwsTarget } from '../aws/clients.ts';
import { madeBy } from './client-token.ts';
import { describeExports } from './find-exports.ts';
import { folderOfExport } from './manifest.ts';

/** AWS's clock and ours. */
const SKEW_MS = 10 * 60_000;

/**
 * One sentence for each. They are looked for by their ClientToken, so that one whose ARN never came back is found too.
 * @param args.since ISO: when the run began
 * @throws cutover.Denied and the passing ones
 */
export async function exportsLeft(args: {
  tableArns: string[];
  migrationId: string;
  run: string;
  since: string;
  aws: AwsTarget;
}): Promise<string[]> {
  const left: string[] = [];
  for (const tableArn of args.tableArns) {
    const found = await describeExports({ tableArn, sinceMs: Date.parse(args.since) - SKEW_MS, aws: args.aws });
    for (const one of found) {
      const owner = madeBy(one.ClientToken);
      if (owner?.migration !== args.migrationId || owner.run !== args.run) continue;
      const where = `s3://${one.S3Bucket}/${folderOfExport(one)}`;
      const state = one.ExportStatus === 'IN_PROGRESS' ? 'still runs and can not be stopped' : `is ${one.ExportStatus}`;
      left.push(`the export ${one.ExportArn} ${state}; its objects: ${where} (aws s3 rm --recursive ${where})`);
    }
  }
  return left;
}
