/** Permission checks by AWS's own DryRun: nothing is done, and the answer is an error either way. */
import { awsCode, describeAwsError, isCode } from '../aws/failure.ts';
import { fail, pass, unknown, type Finding } from '../preflight/check.ts';

/** @param call sends the command with `DryRun: true` */
export async function dryRun(action: string, call: () => Promise<unknown>): Promise<Finding> {
  try {
    await call();
  } catch (error) {
    if (isCode(error, 'DryRunOperation')) return pass(`ec2:${action} is allowed`);
    if (isCode(error, 'UnauthorizedOperation')) {
      return fail(
        describeAwsError(error).slice(0, 200),
        `give the worker's role ec2:${action}, and ec2:CreateTags with it (docs/machines.md lists them all)`,
      );
    }
    return unknown(`${action} with DryRun was answered with ${awsCode(error)}: ${describeAwsError(error)}`);
  }
  return unknown(`${action} with DryRun was answered without its usual error`);
}
