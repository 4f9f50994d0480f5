import type {
  CacheParameterGroup,
  CacheParameterGroupDetails,
  CacheParameterGroupNameMessage,
  CacheParameterGroupsMessage,
  CacheEngineVersionMessage,
  CreateCacheParameterGroupMessage,
  CreateCacheParameterGroupResult,
  DeleteCacheParameterGroupMessage,
  DescribeCacheEngineVersionsMessage,
  DescribeCacheParameterGroupsMessage,
  DescribeCacheParametersMessage,
  ModifyCacheParameterGroupMessage,
  Parameter,
} from '@aws-sdk/client-elasticache';
import { ENGINE_VERSIONS, nodeTypes } from './catalogue.ts';
import { arn } from './cloud.ts';
import type { Cloud } from './cloud.ts';
import { emit } from './events.ts';
import { AwsFault, invalidValue } from './faults.ts';
import { checkName } from './names.ts';
import { page } from './paging.ts';
import { PARAMETERS, allows } from './parameter-definitions.ts';
import type { CloudState, GroupState, ParameterGroupState } from './state.ts';
import { DEFAULT_GROUPS, FAMILIES, findParameterGroup, parameterValue } from './parameters.ts';
import { tagRecord } from './tag-rules.ts';

export function createParameterGroup(
  cloud: Cloud,
  input: CreateCacheParameterGroupMessage,
): CreateCacheParameterGroupResult {
  const { state } = cloud.store;
  const name = checkName('CacheParameterGroupName', input.CacheParameterGroupName, 255);
  const family = input.CacheParameterGroupFamily ?? '';
  if (!FAMILIES.includes(family)) {
    throw invalidValue(`CacheParameterGroupFamily ${family} is not a valid parameter group family.`);
  }
  if (state.parameterGroups[name] !== undefined || DEFAULT_GROUPS.has(name)) {
    throw new AwsFault('CacheParameterGroupAlreadyExists', `CacheParameterGroup ${name} already exists.`);
  }
  const group: ParameterGroupState = {
    name,
    family,
    description: input.Description ?? '',
    values: {},
    tags: tagRecord(input.Tags),
  };
  state.parameterGroups[name] = group;
  cloud.store.save();
  return { CacheParameterGroup: view(cloud, group) };
}

export async function modifyParameterGroup(
  cloud: Cloud,
  input: ModifyCacheParameterGroupMessage,
): Promise<CacheParameterGroupNameMessage> {
  const { state } = cloud.store;
  const group = ownGroup(state, input.CacheParameterGroupName);
  const changes = (input.ParameterNameValues ?? []).map((entry): [string, string] => [
    entry.ParameterName ?? '',
    entry.ParameterValue ?? '',
  ]);
  if (changes.length > 20) throw invalidValue('A maximum of 20 parameters may be modified in a single request.');
  const users = groupsUsing(state, group.name);
  for (const [name, value] of changes) {
    const definition = PARAMETERS.find((parameter) => parameter.name === name);
    if (definition === undefined) throw invalidValue(`Could not find parameter with name: ${name}`);
    if (!definition.modifiable) throw invalidValue(`The parameter ${name} cannot be modified.`);
    if (!allows(definition, value)) {
      throw invalidValue(`Invalid value '${value}' for parameter ${name}. Allowed values: ${definition.allowed}.`);
    }
    if (name === 'databases' && users.length > 0) {
      throw new AwsFault(
        'InvalidCacheParameterGroupState',
        `The parameter databases cannot be modified while the cache parameter group ${group.name} is associated with cache clusters (${users.map((user) => user.id).join(', ')}).`,
      );
    }
  }
  for (const [name, value] of changes) group.values[name] = value;
  cloud.store.save();
  emit(cloud, 'cache-parameter-group', group.name, `Updated parameter group ${group.name}`);
  await applyNow(cloud, users, changes);
  return { CacheParameterGroupName: group.name };
}

/** Sets changed parameters on running nodes, as AWS does with those whose ChangeType is `immediate`. */
async function applyNow(cloud: Cloud, users: GroupState[], changes: [string, string][]): Promise<void> {
  for (const [name, value] of changes) {
    const definition = PARAMETERS.find((parameter) => parameter.name === name);
    if (definition?.directive === undefined || definition.change !== 'immediate') continue;
    for (const { id } of users.flatMap((user) => user.nodes).filter((node) => cloud.nodes.runs(node.id))) {
      await cloud.nodes.restricted(id, 'config', 'SET', definition.directive, value);
    }
  }
}

export function deleteParameterGroup(cloud: Cloud, input: DeleteCacheParameterGroupMessage): object {
  const { state } = cloud.store;
  const group = ownGroup(state, input.CacheParameterGroupName);
  const users = groupsUsing(state, group.name);
  if (users.length > 0) {
    throw new AwsFault(
      'InvalidCacheParameterGroupState',
      `One or more cache clusters are still members of this parameter group ${group.name}, so the group cannot be deleted.`,
    );
  }
  delete state.parameterGroups[group.name];
  cloud.store.save();
  return {};
}

export function describeParameterGroups(
  cloud: Cloud,
  input: DescribeCacheParameterGroupsMessage,
): CacheParameterGroupsMessage {
  const { state } = cloud.store;
  const all =
    input.CacheParameterGroupName === undefined
      ? [...DEFAULT_GROUPS.values(), ...Object.values(state.parameterGroups)]
      : [findParameterGroup(state, input.CacheParameterGroupName)];
  const { items, ...marker } = page(all, (group) => group.name, input);
  return { CacheParameterGroups: items.map((group) => view(cloud, group)), ...marker };
}

export function describeParameters(cloud: Cloud, input: DescribeCacheParametersMessage): CacheParameterGroupDetails {
  const group = findParameterGroup(cloud.store.state, input.CacheParameterGroupName);
  if (input.Source !== undefined && !['user', 'system', 'engine-default'].includes(input.Source)) {
    throw invalidValue(`Invalid value '${input.Source}' for Source. Must be one of: user, system, engine-default.`);
  }
  const engine = /^(redis|valkey)([\d.]+)/.exec(group.family);
  const all = PARAMETERS.map((definition): Parameter => ({
    ParameterName: definition.name,
    ParameterValue: parameterValue(group, definition.name),
    Description: definition.description,
    Source: group.values[definition.name] !== undefined && !DEFAULT_GROUPS.has(group.name) ? 'user' : 'system',
    DataType: definition.type,
    AllowedValues: definition.allowed,
    IsModifiable: definition.modifiable,
    MinimumEngineVersion: `${engine?.[2]?.replace(/\.$/, '') ?? '7'}.0.0`.split('.').slice(0, 3).join('.'),
    ChangeType: definition.change,
  })).filter((parameter) => input.Source === undefined || parameter.Source === input.Source);
  const { items, ...marker } = page(all, (parameter) => parameter.ParameterName ?? '', input);
  const last = marker.Marker === undefined;
  return { Parameters: items, CacheNodeTypeSpecificParameters: last ? [maxMemory()] : [], ...marker };
}

function maxMemory(): NonNullable<CacheParameterGroupDetails['CacheNodeTypeSpecificParameters']>[number] {
  return {
    ParameterName: 'maxmemory',
    Description: 'The maximum configurable amount of memory to use to store items, in bytes.',
    Source: 'system',
    DataType: 'integer',
    AllowedValues: '1-',
    IsModifiable: false,
    MinimumEngineVersion: '2.6.13',
    ChangeType: 'requires-reboot',
    CacheNodeTypeSpecificValues: Object.entries(nodeTypes()).map(([CacheNodeType, bytes]) => ({
      CacheNodeType,
      Value: String(Math.floor(bytes)),
    })),
  };
}

export function describeEngineVersions(
  _cloud: Cloud,
  input: DescribeCacheEngineVersionsMessage,
): CacheEngineVersionMessage {
  const all = ENGINE_VERSIONS.filter(
    (entry) =>
      (input.Engine === undefined || entry.engine === input.Engine) &&
      (input.EngineVersion === undefined ||
        entry.version === input.EngineVersion ||
        entry.reported === input.EngineVersion) &&
      (input.CacheParameterGroupFamily === undefined || entry.family === input.CacheParameterGroupFamily),
  );
  const chosen = input.DefaultOnly === true ? all.slice(-1) : all;
  const { items, ...marker } = page(chosen, (entry) => `${entry.engine}${entry.version}`, input);
  return {
    CacheEngineVersions: items.map((entry) => ({
      Engine: entry.engine,
      EngineVersion: entry.version,
      CacheParameterGroupFamily: entry.family,
      CacheEngineDescription: entry.engine === 'redis' ? 'Redis' : 'Valkey',
      CacheEngineVersionDescription: `${entry.engine} version ${entry.reported}`,
    })),
    ...marker,
  };
}

function ownGroup(state: CloudState, name: string | undefined): ParameterGroupState {
  const group = findParameterGroup(state, name);
  if (DEFAULT_GROUPS.has(group.name)) {
    throw invalidValue(`The default cache parameter group ${group.name} cannot be modified or deleted.`);
  }
  return group;
}

function groupsUsing(state: CloudState, name: string): GroupState[] {
  return Object.values(state.groups).filter((group) => group.parameterGroup === name);
}

function view(cloud: Cloud, group: ParameterGroupState): CacheParameterGroup {
  return {
    CacheParameterGroupName: group.name,
    CacheParameterGroupFamily: group.family,
    Description: group.description,
    IsGlobal: false,
    ARN: arn(cloud, 'parametergroup', group.name),
  };
}
