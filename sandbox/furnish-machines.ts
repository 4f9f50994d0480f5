/** The machine that examples/machine-*.yaml are about, with one image of it already. */
import { CreateImageCommand, DescribeImagesCommand, DescribeInstancesCommand, EC2Client } from '@aws-sdk/client-ec2';
import type { Aws } from './aws/index.ts';
import { seedServicesMachine } from './aws/ec2/services-machine.ts';
import { clientSettings, until } from './make-once.ts';

/** As examples/machine-*.yaml name them. */
const EXAMPLE_MACHINE = 'circleci-services';
const EXAMPLE_BACKUP = 'services-machine';
const IMAGE_NAME = 'services-machine-sandbox';

/**
 * What is there already stays. Returns once the image is available.
 * @returns the machine's instance id
 * @throws Error where this host can't keep a machine apart, or where the image does not become available
 */
export async function furnishMachines(aws: Aws): Promise<string> {
  const client = new EC2Client(clientSettings(aws));
  try {
    const existing = await findMachine(client);
    if (existing !== undefined) return existing;
    const machine = await seedServicesMachine(aws.control.machines, { name: EXAMPLE_MACHINE });
    await takeImage(client, machine);
    return machine.instanceId;
  } finally {
    client.destroy();
  }
}

async function findMachine(client: EC2Client): Promise<string | undefined> {
  const { Reservations = [] } = await client.send(
    new DescribeInstancesCommand({
      Filters: [
        { Name: 'tag:Name', Values: [EXAMPLE_MACHINE] },
        { Name: 'instance-state-name', Values: ['pending', 'running', 'stopping', 'stopped'] },
      ],
    }),
  );
  return Reservations[0]?.Instances?.[0]?.InstanceId;
}

/** Tagged as a backup of cutover's is, so that the restore can be run before the backup has been. */
async function takeImage(
  client: EC2Client,
  machine: { instanceId: string; privateIp: string; publicIp: string },
): Promise<void> {
  const { Reservations = [] } = await client.send(new DescribeInstancesCommand({ InstanceIds: [machine.instanceId] }));
  const instance = Reservations[0]?.Instances?.[0];
  const Tags = Object.entries({
    Name: IMAGE_NAME,
    'cutover:migration': EXAMPLE_BACKUP,
    'cutover:run': 'sandbox',
    'cutover:name': IMAGE_NAME,
    'cutover:method': 'image',
    'cutover:instance': machine.instanceId,
    'cutover:volumes': String(instance?.BlockDeviceMappings?.length ?? 1),
    'cutover:consistency': 'crash',
    'cutover:private-ip': machine.privateIp,
    'cutover:public-ip': machine.publicIp,
    'cutover:instance-type': instance?.InstanceType ?? 't3.large',
  }).map(([Key, Value]) => ({ Key, Value }));
  const { ImageId } = await client.send(
    new CreateImageCommand({
      InstanceId: machine.instanceId,
      Name: IMAGE_NAME,
      NoReboot: true,
      TagSpecifications: [
        { ResourceType: 'image', Tags },
        { ResourceType: 'snapshot', Tags },
      ],
    }),
  );
  await until(`the image ${IMAGE_NAME} of the sandbox's machine`, async () => {
    const { Images = [] } = await client.send(
      new DescribeImagesCommand({ Filters: [{ Name: 'image-id', Values: [ImageId ?? ''] }] }),
    );
    const state = Images[0]?.State;
    if (state === 'failed') throw new Error(`the image ${IMAGE_NAME} of the sandbox's machine is failed`);
    return state === 'available' ? true : undefined;
  });
}
