import type {
  DescribeInstanceAttributeRequest,
  InstanceAttribute,
  ModifyInstanceAttributeRequest,
} from '@aws-sdk/client-ec2';
import type { Cloud } from '../cloud.ts';
import { incorrectState, invalid, invalidCombination, stopIfDryRun } from './faults.ts';
import { findInstance } from './find.ts';
import { volumesOf } from './machines.ts';
import type { InstanceState } from './state.ts';

const VIEWS: Readonly<Record<string, (instance: InstanceState) => InstanceAttribute>> = {
  disableApiTermination: (instance) => ({ DisableApiTermination: { Value: instance.terminationProtected } }),
  disableApiStop: (instance) => ({ DisableApiStop: { Value: instance.stopProtected } }),
  instanceType: (instance) => ({ InstanceType: { Value: instance.type } }),
  instanceInitiatedShutdownBehavior: (instance) => ({
    InstanceInitiatedShutdownBehavior: { Value: instance.shutdownBehavior },
  }),
  rootDeviceName: (instance) => ({ RootDeviceName: { Value: instance.rootDevice } }),
  sourceDestCheck: (instance) => ({ SourceDestCheck: { Value: instance.sourceDestCheck } }),
  ebsOptimized: (instance) => ({ EbsOptimized: { Value: instance.ebsOptimized } }),
  groupSet: (instance) => ({
    Groups: instance.securityGroups.map(({ id, name }) => ({ GroupId: id, GroupName: name })),
  }),
  userData: (instance) => ({ UserData: instance.userData === undefined ? {} : { Value: instance.userData } }),
};

export function describeInstanceAttribute(cloud: Cloud, input: DescribeInstanceAttributeRequest): InstanceAttribute {
  const instance = findInstance(cloud, input.InstanceId ?? '');
  const name = input.Attribute ?? '';
  const view = Object.hasOwn(VIEWS, name) ? VIEWS[name] : undefined;
  if (view === undefined) {
    throw invalid(
      `Value (${name}) for parameter attribute is invalid. The sandbox has: ${Object.keys(VIEWS).join(', ')}.`,
    );
  }
  stopIfDryRun(input);
  return { InstanceId: instance.id, ...view(instance) };
}

/** One attribute a call, as EC2 takes it. Given by a member of its own or by Attribute and Value. */
export function modifyInstanceAttribute(cloud: Cloud, input: ModifyInstanceAttributeRequest): object {
  const instance = findInstance(cloud, input.InstanceId ?? '');
  if (instance.state === 'terminated') throw incorrectState(`The instance '${instance.id}' is not in a valid state.`);
  const change = changeOf(cloud, instance, input);
  stopIfDryRun(input);
  change();
  cloud.store.save();
  return {};
}

function changeOf(cloud: Cloud, instance: InstanceState, input: ModifyInstanceAttributeRequest): () => void {
  const { InstanceId: _id, DryRun: _dry, Attribute: attribute, Value: value, ...members } = input;
  const given = Object.keys(members);
  if (given.length + (attribute === undefined ? 0 : 1) !== 1) {
    throw invalidCombination('Fields for multiple attribute types specified, or none');
  }
  const flag = (name: string, own: { Value?: boolean | undefined } | undefined): boolean | undefined =>
    own?.Value ?? (attribute === name ? value === 'true' : undefined);
  const termination = flag('disableApiTermination', input.DisableApiTermination);
  if (termination !== undefined) return () => (instance.terminationProtected = termination);
  const stop = flag('disableApiStop', input.DisableApiStop);
  if (stop !== undefined) return () => (instance.stopProtected = stop);
  const check = flag('sourceDestCheck', input.SourceDestCheck);
  if (check !== undefined) return () => (instance.sourceDestCheck = check);
  const type = input.InstanceType?.Value ?? (attribute === 'instanceType' ? value : undefined);
  if (type !== undefined) {
    if (instance.state !== 'stopped')
      throw incorrectState(`The instance '${instance.id}' is not in the 'stopped' state.`);
    return () => (instance.type = type);
  }
  const mappings = input.BlockDeviceMappings;
  if (mappings !== undefined) {
    return () => {
      for (const { DeviceName, Ebs } of mappings) {
        const volume = volumesOf(cloud, instance).find(({ attachment }) => attachment?.device === DeviceName);
        if (volume?.attachment === undefined) throw invalid(`No device is currently mapped at ${DeviceName ?? ''}`);
        volume.attachment.deleteOnTermination = Ebs?.DeleteOnTermination ?? volume.attachment.deleteOnTermination;
      }
    };
  }
  throw invalid(`The sandbox does not change ${attribute ?? given.join(', ')}.`);
}
