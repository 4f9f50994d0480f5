import {
  CreateImageCommand,
  DescribeImagesCommand,
  DescribeInstancesCommand,
  DescribeSnapshotsCommand,
  EC2Client,
  RunInstancesCommand,
} from '@aws-sdk/client-ec2';
import type { CreateImageCommandInput, Image, Instance, RunInstancesCommandInput, Snapshot } from '@aws-sdk/client-ec2';
import { GetCommandInvocationCommand, SSMClient, SendCommandCommand } from '@aws-sdk/client-ssm';
import type { GetCommandInvocationCommandOutput, SendCommandCommandInput } from '@aws-sdk/client-ssm';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { startAws } from '../sandbox/aws/index.ts';
import type { Aws, StartAwsOptions } from '../sandbox/aws/index.ts';

const LIMIT_MS = 60_000;

/** A sandbox's AWS with unmodified SDK clients. */
export interface MachinesRig {
  dir: string;
  aws: Aws;
  ec2: EC2Client;
  ssm: SSMClient;
  restart(options?: Partial<StartAwsOptions>): Promise<void>;
  end(): Promise<void>;
}

export async function startMachinesRig(options: Partial<StartAwsOptions> = {}): Promise<MachinesRig> {
  const dir = mkdtempSync(join(tmpdir(), 'sandbox-machines-'));
  const start = (more: Partial<StartAwsOptions> = {}): Promise<Aws> =>
    startAws({ dir: join(dir, 'aws'), redisServer: '/nonexistent', ...options, ...more });
  const rig = { dir, aws: await start() } as MachinesRig;
  const connect = (): void => {
    const config = {
      endpoint: rig.aws.url,
      region: rig.aws.region,
      credentials: { accessKeyId: 'sandbox', secretAccessKey: 'sandbox' },
    };
    rig.ec2 = new EC2Client(config);
    rig.ssm = new SSMClient(config);
  };
  const disconnect = (): void => {
    rig.ec2.destroy();
    rig.ssm.destroy();
  };
  connect();
  rig.restart = async (more) => {
    disconnect();
    await rig.aws.stop();
    rig.aws = await start(more);
    connect();
  };
  rig.end = async () => {
    disconnect();
    await rig.aws.stop();
    rmSync(dir, { recursive: true, force: true });
  };
  return rig;
}

/** Polls until `probe` is satisfied with what it gets. @throws Error with what it got last after a minute */
export async function eventually<T>(get: () => Promise<T>, satisfied: (value: T) => boolean): Promise<T> {
  const deadline = Date.now() + LIMIT_MS;
  for (;;) {
    const value = await get();
    if (satisfied(value)) return value;
    if (Date.now() > deadline) throw new Error(`still so after ${LIMIT_MS / 1000} s: ${JSON.stringify(value)}`);
    await delay(25);
  }
}

/** What a call was refused with. */
export async function refusal(call: Promise<unknown>): Promise<string> {
  try {
    await call;
  } catch (error) {
    if (error instanceof Error) return `${error.name}: ${error.message}`;
  }
  return 'not refused';
}

export async function instanceOf(rig: MachinesRig, id: string): Promise<Instance> {
  const { Reservations } = await rig.ec2.send(new DescribeInstancesCommand({ InstanceIds: [id] }));
  return Reservations![0]!.Instances![0]!;
}

export function inState(rig: MachinesRig, id: string, state: string): Promise<Instance> {
  return eventually(
    () => instanceOf(rig, id),
    ({ State }) => State?.Name === state,
  );
}

export async function imageOf(rig: MachinesRig, id: string): Promise<Image> {
  return (await rig.ec2.send(new DescribeImagesCommand({ ImageIds: [id] }))).Images![0]!;
}

export async function snapshotOf(rig: MachinesRig, id: string): Promise<Snapshot> {
  return (await rig.ec2.send(new DescribeSnapshotsCommand({ SnapshotIds: [id] }))).Snapshots![0]!;
}

/** An image that is available. */
export async function takeImage(
  rig: MachinesRig,
  InstanceId: string,
  Name: string,
  more: Partial<CreateImageCommandInput> = {},
): Promise<Image> {
  const made = await rig.ec2.send(new CreateImageCommand({ InstanceId, Name, NoReboot: true, ...more }));
  return eventually(
    () => imageOf(rig, made.ImageId!),
    ({ State }) => State === 'available',
  );
}

/** A machine that runs. */
export async function launch(
  rig: MachinesRig,
  ImageId: string,
  more: Partial<RunInstancesCommandInput> = {},
): Promise<Instance> {
  const made = await rig.ec2.send(
    new RunInstancesCommand({ ImageId, MinCount: 1, MaxCount: 1, InstanceType: 't3.large', ...more }),
  );
  return inState(rig, made.Instances![0]!.InstanceId!, 'running');
}

export async function send(
  rig: MachinesRig,
  id: string,
  commands: string[],
  more: Partial<SendCommandCommandInput> = {},
  parameters: Record<string, string[]> = {},
): Promise<string> {
  const sent = await rig.ssm.send(
    new SendCommandCommand({
      DocumentName: 'AWS-RunShellScript',
      InstanceIds: [id],
      Parameters: { commands, ...parameters },
      ...more,
    }),
  );
  return sent.Command!.CommandId!;
}

export async function invocationOf(
  rig: MachinesRig,
  InstanceId: string,
  CommandId: string,
): Promise<GetCommandInvocationCommandOutput> {
  return eventually(
    () =>
      rig.ssm.send(new GetCommandInvocationCommand({ InstanceId, CommandId })).catch((error: unknown) => {
        if (error instanceof Error && error.name === 'InvocationDoesNotExist') return undefined;
        throw error;
      }),
    (invocation) => invocation !== undefined,
  ) as Promise<GetCommandInvocationCommandOutput>;
}

const OVER = new Set(['Success', 'Failed', 'TimedOut', 'Cancelled']);

/** Sends a command and waits for its end. */
export async function run(
  rig: MachinesRig,
  id: string,
  commands: string[],
  more: Partial<SendCommandCommandInput> = {},
  parameters: Record<string, string[]> = {},
): Promise<GetCommandInvocationCommandOutput> {
  return ended(rig, id, await send(rig, id, commands, more, parameters));
}

export function ended(rig: MachinesRig, id: string, commandId: string): Promise<GetCommandInvocationCommandOutput> {
  return eventually(
    () => invocationOf(rig, id, commandId),
    ({ Status }) => OVER.has(Status ?? ''),
  );
}
