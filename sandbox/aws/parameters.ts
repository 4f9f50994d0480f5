import { ENGINE_VERSIONS } from './catalogue.ts';
import { parameterGroupNotFound } from './faults.ts';
import { PARAMETERS } from './parameter-definitions.ts';
import type { CloudState, GroupState, ParameterGroupState } from './state.ts';

export const FAMILIES = [...new Set(ENGINE_VERSIONS.map((entry) => entry.family))];

/** The name of a family's default group. */
export function defaultGroupName(family: string, clusterEnabled: boolean): string {
  return `default.${family}${clusterEnabled ? '.cluster.on' : ''}`;
}

/** AWS's own groups: one per family, and one more with cluster mode on. */
export const DEFAULT_GROUPS: ReadonlyMap<string, ParameterGroupState> = new Map(
  FAMILIES.flatMap((family) =>
    [false, true].map((on): [string, ParameterGroupState] => {
      const name = defaultGroupName(family, on);
      const description = `Default parameter group for ${family}${on ? ' with cluster mode on' : ''}`;
      return [name, { name, family, description, values: on ? { 'cluster-enabled': 'yes' } : {}, tags: {} }];
    }),
  ),
);

/** @throws AwsFault CacheParameterGroupNotFound. */
export function findParameterGroup(state: CloudState, name: string | undefined): ParameterGroupState {
  const key = (name ?? '').toLowerCase();
  const group = DEFAULT_GROUPS.get(key) ?? state.parameterGroups[key];
  if (group === undefined) throw parameterGroupNotFound(key);
  return group;
}

export function parameterValue(group: ParameterGroupState, name: string): string | undefined {
  return group.values[name] ?? PARAMETERS.find((parameter) => parameter.name === name)?.value;
}

/** The redis.conf directives of a group's nodes. */
export function directivesOf(state: CloudState, group: GroupState): Record<string, string> {
  const parameters = findParameterGroup(state, group.parameterGroup);
  const directives: Record<string, string> = {};
  for (const { name, directive, value } of PARAMETERS) {
    if (directive === undefined) continue;
    const set = parameters.values[name];
    // Defaults that the server shares need no line; AWS's others do.
    if (set !== undefined || name === 'maxmemory-policy' || name === 'databases') {
      directives[directive] = (set ?? value) === '' ? '""' : (set ?? value);
    }
  }
  // In cluster mode there is one logical database.
  if (group.clusterEnabled) directives['databases'] = '1';
  return directives;
}
