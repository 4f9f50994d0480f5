import type {
  DescribeInstancesRequest,
  DescribeInstancesResult,
  RebootInstancesRequest,
  StartInstancesRequest,
  StartInstancesResult,
  StopInstancesRequest,
  StopInstancesResult,
  TerminateInstancesRequest,
  TerminateInstancesResult,
} from '@aws-sdk/client-ec2';
import type { Cloud } from '../cloud.ts';
import { AwsFault } from '../faults.ts';
import { freeAddress } from './addresses.ts';
import { incorrectState, stopIfDryRun } from './faults.ts';
import { filtered, paged } from './filters.ts';
import type { Filters } from './filters.ts';
import { findInstances } from './find.ts';
import { bringDown, bringUp, inTurn, restart, takeAway } from './instance-lifecycle.ts';
import { instanceView, stateView } from './instance-view.ts';
import type { InstanceState, InstanceStateName } from './state.ts';

/** EC2 shows a terminated machine for about an hour. */
const SHOWN_MS = 3_600_000;

const INSTANCE_FILTERS: Filters<InstanceState> = {
  'instance-id': ({ id }) => [id],
  'instance-state-name': ({ state }) => [state],
  'instance-state-code': ({ state }) => [String(stateView(state).Code)],
  'instance-type': ({ type }) => [type],
  'image-id': ({ imageId }) => [imageId],
  'private-ip-address': ({ privateIp, state }) => [state === 'terminated' ? undefined : privateIp],
  'ip-address': ({ publicIp, state }) => [state === 'running' ? publicIp : undefined],
  'subnet-id': ({ subnetId }) => [subnetId],
  'vpc-id': ({ vpcId }) => [vpcId],
  'availability-zone': ({ zone }) => [zone],
  'key-name': ({ keyName }) => [keyName],
  'client-token': ({ clientToken }) => [clientToken],
  'reservation-id': ({ reservationId }) => [reservationId],
  'instance.group-id': ({ securityGroups }) => securityGroups.map(({ id }) => id),
  'iam-instance-profile.arn': ({ profile }) => [profile?.arn],
};

export function describeInstances(cloud: Cloud, input: DescribeInstancesRequest): DescribeInstancesResult {
  const seen = cloud.store.visible().ec2;
  const shown = Object.fromEntries(Object.entries(seen.instances).filter(([, instance]) => stillShown(instance)));
  const named = input.InstanceIds === undefined ? Object.values(shown) : findInstances(cloud, input.InstanceIds, shown);
  const found = filtered(named, input.Filters, INSTANCE_FILTERS, ({ tags }) => tags);
  stopIfDryRun(input);
  const { items, ...token } = paged(found, ({ id }) => id, input, { ids: input.InstanceIds });
  return {
    Reservations: items.map((instance) => ({
      ReservationId: instance.reservationId,
      OwnerId: cloud.account,
      Groups: [],
      Instances: [instanceView(instance, seen)],
    })),
    ...token,
  };
}

export function stillShown({ state, terminatedAt }: InstanceState): boolean {
  return state !== 'terminated' || Date.now() - Date.parse(terminatedAt ?? '') < SHOWN_MS;
}

export function startInstances(cloud: Cloud, input: StartInstancesRequest): StartInstancesResult {
  const instances = findInstances(cloud, input.InstanceIds ?? []);
  for (const { id, state } of instances) {
    if (['stopped', 'pending', 'running'].includes(state)) continue;
    throw incorrectState(`The instance '${id}' is not in a state from which it can be started.`);
  }
  stopIfDryRun(input);
  const StartingInstances = instances.map((instance) =>
    change(cloud, instance, () => {
      if (instance.state !== 'stopped') return;
      instance.state = 'pending';
      // As on EC2 without an Elastic IP: the public address is another at every start.
      instance.publicIp = freeAddress(cloud);
      instance.launchedAt = new Date().toISOString();
      delete instance.reason;
      bringUp(cloud, instance);
    }),
  );
  return { StartingInstances };
}

export function stopInstances(cloud: Cloud, input: StopInstancesRequest): StopInstancesResult {
  const instances = findInstances(cloud, input.InstanceIds ?? []);
  for (const { id, state, stopProtected } of instances) {
    if (state === 'terminated' || state === 'shutting-down' || state === 'pending') {
      throw incorrectState(`The instance '${id}' is not in a state from which it can be stopped.`);
    }
    if (stopProtected) throw notPermitted(id, 'stopped', 'disableApiStop');
  }
  stopIfDryRun(input);
  const StoppingInstances = instances.map((instance) =>
    change(cloud, instance, () => {
      if (instance.state !== 'running') return;
      instance.state = 'stopping';
      instance.reason = userInitiated('Client.UserInitiatedShutdown');
      bringDown(cloud, instance, input.Force === true);
    }),
  );
  return { StoppingInstances };
}

export function rebootInstances(cloud: Cloud, input: RebootInstancesRequest): object {
  const instances = findInstances(cloud, input.InstanceIds ?? []);
  for (const { id, state } of instances) {
    if (state !== 'running')
      throw incorrectState(`The instance '${id}' is not in a state from which it can be rebooted.`);
  }
  stopIfDryRun(input);
  for (const instance of instances) inTurn(cloud, instance, 'reboot', () => restart(cloud, instance));
  return {};
}

export function terminateInstances(cloud: Cloud, input: TerminateInstancesRequest): TerminateInstancesResult {
  const instances = findInstances(cloud, input.InstanceIds ?? []);
  const kept = instances.find(({ terminationProtected }) => terminationProtected);
  if (kept !== undefined) throw notPermitted(kept.id, 'terminated', 'disableApiTermination');
  stopIfDryRun(input);
  const TerminatingInstances = instances.map((instance) =>
    change(cloud, instance, () => {
      if (instance.state === 'terminated' || instance.state === 'shutting-down') return;
      instance.state = 'shutting-down';
      instance.terminatedAt = new Date().toISOString();
      instance.reason = userInitiated('Client.UserInitiatedShutdown');
      takeAway(cloud, instance);
    }),
  );
  return { TerminatingInstances };
}

function change(cloud: Cloud, instance: InstanceState, work: () => void): object {
  const before: InstanceStateName = instance.state;
  work();
  cloud.store.save();
  return { InstanceId: instance.id, PreviousState: stateView(before), CurrentState: stateView(instance.state) };
}

function userInitiated(code: string): { code: string; message: string } {
  return { code, message: `${code}: User initiated shutdown` };
}

function notPermitted(id: string, done: string, attribute: string): AwsFault {
  return new AwsFault(
    'OperationNotPermitted',
    `The instance '${id}' may not be ${done}. Modify its '${attribute}' instance attribute and try again.`,
  );
}
