/** Whether SSM reaches a machine. */
import { DescribeInstanceInformationCommand } from '@aws-sdk/client-ssm';
import { ssm, type AwsTarget } from '../aws/clients.ts';
import { awsFailure, isCode } from '../aws/failure.ts';

export interface AgentReading {
  online: boolean;
  /** AWS's word: `Online`, `ConnectionLost`, `Inactive`; `unknown to SSM` where it has never been there. */
  status: string;
  version?: string;
}

/** @throws cutover.Denied, cutover.Throttled, cutover.Unreachable */
export async function readAgent(instanceId: string, aws: AwsTarget = {}): Promise<AgentReading> {
  try {
    const { InstanceInformationList = [] } = await ssm(aws).send(
      new DescribeInstanceInformationCommand({ Filters: [{ Key: 'InstanceIds', Values: [instanceId] }] }),
    );
    const found = InstanceInformationList.find(({ InstanceId }) => InstanceId === instanceId);
    if (!found) return { online: false, status: 'unknown to SSM' };
    return {
      online: found.PingStatus === 'Online',
      status: found.PingStatus ?? '(none)',
      ...(found.AgentVersion ? { version: found.AgentVersion } : {}),
    };
  } catch (error) {
    if (isCode(error, 'InvalidInstanceId')) return { online: false, status: 'unknown to SSM' };
    throw awsFailure(error, `DescribeInstanceInformation of ${instanceId}`);
  }
}
