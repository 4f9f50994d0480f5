/** Moto's default network, the same after each start. */
import { DescribeSubnetsCommand, EC2Client } from '@aws-sdk/client-ec2';
import { randomInt } from 'node:crypto';
import { clientSettings } from './make-once.ts';

/**
 * Machines, and the tags of their images, name subnets and security groups, and are kept on disk; moto keeps nothing and
 * makes its default network with random ids when EC2 is first asked. So its dice are loaded for that one moment, and
 * thrown freely again after it: ids of all that comes later must not repeat those of an earlier start.
 * @throws Error of fetch or of the SDK
 */
export async function keepDefaultNetwork(url: string, region: string): Promise<void> {
  const seed = (number: number) => fetch(`${url}/moto-api/seed?a=${number}`, { method: 'POST' });
  const ec2 = new EC2Client(clientSettings({ url, region }));
  try {
    await seed(1);
    await ec2.send(new DescribeSubnetsCommand({}));
    await seed(randomInt(2 ** 40));
  } finally {
    ec2.destroy();
  }
}
