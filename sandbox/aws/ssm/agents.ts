import type { InstanceInformation } from '@aws-sdk/client-ssm';
import type { Cloud } from '../cloud.ts';
import { hostName } from '../ec2/machines.ts';
import type { InstanceState } from '../ec2/state.ts';
import { AwsFault } from '../faults.ts';
import type { Input } from './inputs.ts';
import { tokenPage } from './token-page.ts';

export type Ping = 'Online' | 'ConnectionLost';

/** How SSM sees a machine; undefined when it never heard of it, or it is gone. */
export function pingOf({ state, agent, agentDelay, runningSince }: InstanceState): Ping | undefined {
  if (agent === 'none' || state === 'terminated' || state === 'pending') return undefined;
  if (state !== 'running') return 'ConnectionLost';
  if (Date.now() < Date.parse(runningSince ?? '') + agentDelay) return undefined;
  return agent === 'online' ? 'Online' : 'ConnectionLost';
}

export function describeInstanceInformation(
  cloud: Cloud,
  input: Input<'DescribeInstanceInformation'>,
): { InstanceInformationList: InstanceInformation[]; NextToken?: string } {
  const filters = [
    ...(input.Filters ?? []).map(({ Key, Values }) => ({ key: Key, values: Values })),
    ...(input.InstanceInformationFilterList ?? []).map(({ key, valueSet }) => ({ key, values: valueSet })),
  ];
  const tests = filters.map(({ key, values }) => {
    const of = valueOf(key);
    return (instance: InstanceState): boolean => values.includes(of(instance) ?? '');
  });
  const known = Object.values(cloud.store.visible().ec2.instances).filter(
    (instance) => pingOf(instance) !== undefined && tests.every((test) => test(instance)),
  );
  const { items, ...token } = tokenPage(known, ({ id }) => id, input);
  return { InstanceInformationList: items.map(view), ...token };
}

function valueOf(key: string): (instance: InstanceState) => string | undefined {
  if (key.startsWith('tag:')) return ({ tags }) => tags[key.slice('tag:'.length)];
  const known: Record<string, (instance: InstanceState) => string | undefined> = {
    InstanceIds: ({ id }) => id,
    PingStatus: pingOf,
    PlatformTypes: () => 'Linux',
    ResourceType: () => 'EC2Instance',
  };
  const of = known[key];
  if (of === undefined) throw new AwsFault('InvalidFilterKey', `The filter key ${key} is not valid.`);
  return of;
}

function view(instance: InstanceState): InstanceInformation {
  const ping = pingOf(instance);
  return {
    InstanceId: instance.id,
    ...(ping === undefined ? {} : { PingStatus: ping }),
    LastPingDateTime: ping === 'Online' ? new Date() : new Date(instance.runningSince ?? instance.launchedAt),
    AgentVersion: '3.3.2299.0',
    IsLatestVersion: true,
    PlatformType: 'Linux',
    PlatformName: 'Debian GNU/Linux',
    PlatformVersion: '12',
    ResourceType: 'EC2Instance',
    IPAddress: instance.privateIp,
    ComputerName: hostName(instance.privateIp),
  };
}
