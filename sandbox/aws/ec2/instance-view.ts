import type { Instance, InstanceState as StateView } from '@aws-sdk/client-ec2';
import { hostName } from './machines.ts';
import type { Ec2State, InstanceState, InstanceStateName } from './state.ts';
import { tagList } from './tag-rules.ts';

const CODES: Record<InstanceStateName, number> = {
  pending: 0,
  running: 16,
  'shutting-down': 32,
  terminated: 48,
  stopping: 64,
  stopped: 80,
};

export function stateView(state: InstanceStateName): StateView {
  return { Code: CODES[state], Name: state };
}

export function instanceView(instance: InstanceState, state: Ec2State): Instance {
  const gone = instance.state === 'terminated';
  const reachable = instance.state === 'pending' || instance.state === 'running';
  const { metadata, profile, reason, keyName } = instance;
  const volumes = Object.values(state.volumes).filter(({ attachment }) => attachment?.instanceId === instance.id);
  return {
    InstanceId: instance.id,
    ImageId: instance.imageId,
    State: stateView(instance.state),
    StateTransitionReason:
      reason === undefined ? '' : `User initiated (${instance.terminatedAt ?? instance.launchedAt})`,
    ...(reason === undefined ? {} : { StateReason: { Code: reason.code, Message: reason.message } }),
    ...(keyName === undefined ? {} : { KeyName: keyName }),
    AmiLaunchIndex: 0,
    InstanceType: instance.type as NonNullable<Instance['InstanceType']>,
    LaunchTime: new Date(instance.launchedAt),
    Placement: { AvailabilityZone: instance.zone, Tenancy: 'default', GroupName: '' },
    Monitoring: { State: 'disabled' },
    PrivateDnsName: gone ? '' : `${hostName(instance.privateIp)}.ec2.internal`,
    PublicDnsName: reachable ? `ec2-${instance.publicIp.replaceAll('.', '-')}.compute-1.amazonaws.com` : '',
    ...(gone ? {} : { PrivateIpAddress: instance.privateIp, SubnetId: instance.subnetId, VpcId: instance.vpcId }),
    ...(reachable ? { PublicIpAddress: instance.publicIp } : {}),
    Architecture: 'x86_64',
    Hypervisor: 'xen',
    VirtualizationType: 'hvm',
    PlatformDetails: 'Linux/UNIX',
    RootDeviceName: instance.rootDevice,
    RootDeviceType: 'ebs',
    EbsOptimized: instance.ebsOptimized,
    EnaSupport: true,
    SourceDestCheck: instance.sourceDestCheck,
    ClientToken: instance.clientToken ?? '',
    ...(profile === undefined ? {} : { IamInstanceProfile: { Arn: profile.arn, Id: profile.id } }),
    MetadataOptions: {
      State: 'applied',
      HttpTokens: metadata.tokens as 'required',
      HttpEndpoint: metadata.endpoint as 'enabled',
      HttpPutResponseHopLimit: metadata.hopLimit,
      InstanceMetadataTags: metadata.tags as 'disabled',
    },
    SecurityGroups: gone ? [] : instance.securityGroups.map(({ id, name }) => ({ GroupId: id, GroupName: name })),
    BlockDeviceMappings: volumes.flatMap(({ id, attachment }) =>
      attachment === undefined
        ? []
        : [
            {
              DeviceName: attachment.device,
              Ebs: {
                VolumeId: id,
                Status: 'attached' as const,
                AttachTime: new Date(attachment.attachedAt),
                DeleteOnTermination: attachment.deleteOnTermination,
              },
            },
          ],
    ),
    Tags: tagList(instance.tags),
  };
}
