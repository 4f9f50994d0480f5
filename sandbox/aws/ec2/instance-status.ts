import type {
  DescribeInstanceStatusRequest,
  DescribeInstanceStatusResult,
  InstanceStatusSummary,
} from '@aws-sdk/client-ec2';
import type { Cloud } from '../cloud.ts';
import { stopIfDryRun } from './faults.ts';
import { filtered, paged } from './filters.ts';
import { findInstances } from './find.ts';
import { stateView } from './instance-view.ts';
import { stillShown } from './instances.ts';
import type { Check, InstanceState } from './state.ts';

export function describeInstanceStatus(
  cloud: Cloud,
  input: DescribeInstanceStatusRequest,
): DescribeInstanceStatusResult {
  const seen = cloud.store.visible().ec2.instances;
  const named = input.InstanceIds === undefined ? Object.values(seen) : findInstances(cloud, input.InstanceIds, seen);
  // Without this members stopped and starting machines are left out, asked for by name or not.
  const shown = named.filter((each) =>
    input.IncludeAllInstances === true ? stillShown(each) : each.state === 'running',
  );
  const found = filtered(
    shown,
    input.Filters,
    {
      'instance-state-name': ({ state }) => [state],
      'availability-zone': ({ zone }) => [zone],
      'instance-status.status': (instance) => [statusOf(cloud, instance, instance.checks.instance)],
      'system-status.status': (instance) => [statusOf(cloud, instance, instance.checks.system)],
    },
    ({ tags }) => tags,
  );
  stopIfDryRun(input);
  const { items, ...token } = paged(found, ({ id }) => id, input, { ids: input.InstanceIds });
  return {
    InstanceStatuses: items.map((instance) => ({
      InstanceId: instance.id,
      AvailabilityZone: instance.zone,
      InstanceState: stateView(instance.state),
      InstanceStatus: summary(cloud, instance, instance.checks.instance),
      SystemStatus: summary(cloud, instance, instance.checks.system),
    })),
    ...token,
  };
}

type Status = 'ok' | 'impaired' | 'initializing' | 'not-applicable';

function statusOf(cloud: Cloud, { state, runningSince }: InstanceState, check: Check): Status {
  if (state !== 'running') return 'not-applicable';
  if (Date.now() - Date.parse(runningSince ?? '') < cloud.timing.instanceChecks) return 'initializing';
  return check;
}

const DETAILS = { ok: 'passed', impaired: 'failed', initializing: 'initializing' } as const;

function summary(cloud: Cloud, instance: InstanceState, check: Check): InstanceStatusSummary {
  const status = statusOf(cloud, instance, check);
  if (status === 'not-applicable') return { Status: status };
  const since = status === 'impaired' ? { ImpairedSince: new Date(instance.runningSince ?? '') } : {};
  return { Status: status, Details: [{ Name: 'reachability', Status: DETAILS[status], ...since }] };
}
