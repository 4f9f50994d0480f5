import type {
  DescribeEndpointTypesMessage,
  DescribeEndpointTypesResponse,
  DescribeOrderableReplicationInstancesMessage,
  DescribeOrderableReplicationInstancesResponse,
} from '@aws-sdk/client-database-migration-service';
import type { Cloud } from '../cloud.ts';
import { invalidValue } from './faults.ts';
import { dmsPage, filtered } from './filters.ts';

const ENGINE_VERSIONS = ['3.5.1', '3.5.2', '3.5.3', '3.5.4', '3.6.0', '3.6.1'] as const;
export const DEFAULT_ENGINE_VERSION = '3.5.4';
/** GiB. */
export const STORAGE = { min: 5, max: 6144, standard: 50 } as const;

const FAMILIES: Readonly<Record<string, readonly string[]>> = {
  t2: ['micro', 'small', 'medium', 'large'],
  t3: ['micro', 'small', 'medium', 'large'],
  c4: ['large', 'xlarge', '2xlarge', '4xlarge'],
  c5: ['large', 'xlarge', '2xlarge', '4xlarge', '9xlarge', '12xlarge', '18xlarge', '24xlarge'],
  c6i: ['large', 'xlarge', '2xlarge', '4xlarge', '8xlarge', '12xlarge', '16xlarge', '24xlarge', '32xlarge'],
  r4: ['large', 'xlarge', '2xlarge', '4xlarge', '8xlarge'],
  r5: ['large', 'xlarge', '2xlarge', '4xlarge', '8xlarge', '12xlarge', '16xlarge', '24xlarge'],
  r6i: ['large', 'xlarge', '2xlarge', '4xlarge', '8xlarge', '12xlarge', '16xlarge', '24xlarge', '32xlarge'],
};
const CLASSES = Object.entries(FAMILIES).flatMap(([family, sizes]) => sizes.map((size) => `dms.${family}.${size}`));

/** @throws AwsFault InvalidParameterValueException. */
export function checkClass(name: string): string {
  if (CLASSES.includes(name)) return name;
  throw invalidValue(`Invalid value '${name}' for ReplicationInstanceClass. Must be one of: ${CLASSES.join(', ')}.`);
}

/** @throws AwsFault InvalidParameterValueException. */
export function checkEngineVersion(version: string): string {
  if ((ENGINE_VERSIONS as readonly string[]).includes(version)) return version;
  throw invalidValue(`No replication engine found with version: ${version}`);
}

export function describeOrderable(
  cloud: Cloud,
  input: DescribeOrderableReplicationInstancesMessage,
): DescribeOrderableReplicationInstancesResponse {
  const all = ENGINE_VERSIONS.flatMap((version) => CLASSES.map((name) => ({ version, name })));
  const { items, ...marker } = dmsPage(all, ({ version, name }) => `${version} ${name}`, input);
  return {
    OrderableReplicationInstances: items.map(({ version, name }) => ({
      EngineVersion: version,
      ReplicationInstanceClass: name,
      StorageType: 'gp2',
      MinAllocatedStorage: STORAGE.min,
      MaxAllocatedStorage: STORAGE.max,
      DefaultAllocatedStorage: STORAGE.standard,
      IncludedAllocatedStorage: STORAGE.standard,
      AvailabilityZones: ['a', 'b', 'c'].map((zone) => `${cloud.region}${zone}`),
    })),
    ...marker,
  };
}

/** Engines that this sandbox can really read from and write to. */
export function describeEndpointTypes(
  _cloud: Cloud,
  input: DescribeEndpointTypesMessage,
): DescribeEndpointTypesResponse {
  const types = (['source', 'target'] as const).map((type) => ({
    EngineName: 'postgres',
    SupportsCDC: true,
    EndpointType: type,
    ReplicationInstanceEngineMinimumVersion: '3.5.1',
    EngineDisplayName: 'PostgreSQL',
  }));
  const found = filtered(types, input.Filters, {
    'engine-name': (item) => [item.EngineName],
    'endpoint-type': (item) => [item.EndpointType],
  });
  const { items, ...marker } = dmsPage(found, (item) => item.EndpointType, input);
  return { SupportedEndpointTypes: items, ...marker };
}
