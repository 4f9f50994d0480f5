import { invalidCombination, invalidValue } from './faults.ts';
import type { EngineName } from './state.ts';

/** What the emulated AWS offers: engine versions with their parameter group families, and node types. */
export interface EngineVersion {
  engine: EngineName;
  /** As asked for in a call. */
  version: string;
  /** As reported by DescribeCacheClusters. */
  reported: string;
  family: string;
}

const offered = (engine: EngineName, family: string, ...versions: [string, string?][]): EngineVersion[] =>
  versions.map(([version, reported = version]) => ({ engine, version, reported, family }));

export const ENGINE_VERSIONS: readonly EngineVersion[] = [
  ...offered('redis', 'redis4.0', ['4.0.10']),
  ...offered('redis', 'redis5.0', ['5.0.0'], ['5.0.3'], ['5.0.4'], ['5.0.5'], ['5.0.6']),
  ...offered('redis', 'redis6.x', ['6.0', '6.0.5'], ['6.2', '6.2.6']),
  ...offered('redis', 'redis7', ['7.0', '7.0.7'], ['7.1', '7.1.0']),
  ...offered('valkey', 'valkey7', ['7.2', '7.2.6']),
  ...offered('valkey', 'valkey8', ['8.0', '8.0.1'], ['8.1', '8.1.0']),
];

const GIB = 1024 ** 3;
/** Memory for data (the `maxmemory` of AWS's node-type specific parameters), in bytes. */
const NODE_TYPES: Record<string, number> = {
  'cache.t3.micro': 0.5 * GIB,
  'cache.t3.small': 1.37 * GIB,
  'cache.t3.medium': 3.09 * GIB,
  'cache.t4g.micro': 0.5 * GIB,
  'cache.t4g.small': 1.37 * GIB,
  'cache.t4g.medium': 3.09 * GIB,
  'cache.m5.large': 6.38 * GIB,
  'cache.m6g.large': 6.38 * GIB,
  'cache.m6g.xlarge': 12.93 * GIB,
  'cache.m7g.large': 6.38 * GIB,
  'cache.m7g.xlarge': 12.93 * GIB,
  'cache.r5.large': 13.07 * GIB,
  'cache.r6g.large': 13.07 * GIB,
  'cache.r6g.xlarge': 26.32 * GIB,
  'cache.r6gd.xlarge': 26.32 * GIB,
  'cache.r7g.large': 13.07 * GIB,
  'cache.r7g.xlarge': 26.32 * GIB,
};

export function nodeTypes(): Readonly<Record<string, number>> {
  return NODE_TYPES;
}

/** @returns bytes. @throws AwsFault InvalidParameterValue. */
export function memoryOf(nodeType: string): number {
  const bytes = NODE_TYPES[nodeType];
  if (bytes === undefined) throw invalidValue(`Invalid Cache Node Type: ${nodeType}.`);
  return Math.floor(bytes);
}

/** Engine version from what a call asks for; the newest without one. @throws AwsFault as AWS does. */
export function chooseEngine(engine: string = 'redis', version?: string): EngineVersion {
  if (engine !== 'redis' && engine !== 'valkey') throw invalidValue(`Invalid cache engine: ${engine}.`);
  const known = ENGINE_VERSIONS.filter((entry) => entry.engine === engine);
  const wanted = version === '6.x' ? '6.2' : version;
  const found = wanted === undefined ? known.at(-1) : known.find((e) => e.version === wanted || e.reported === wanted);
  if (found === undefined) throw invalidCombination(`Cannot find version ${version} for ${engine}`);
  return found;
}
