/** How much data one node of a type holds. */
import type { AwsTarget } from '../aws/clients.ts';
import { CannotCheck } from '../preflight/check.ts';
import { parameterValue } from './parameters.ts';

const DEFAULT_RESERVED = 25;

export interface NodeRoom {
  bytes: number;
  /** reserved-memory-percent. */
  reserved: number;
}

/**
 * maxmemory of the node type, less what is reserved (facts/redis-aws 3.3).
 * @throws CannotCheck where AWS does not tell it; as parameterValue
 */
export async function nodeRoom(given: { parameterGroup: string; nodeType: string; aws: AwsTarget }): Promise<NodeRoom> {
  const { parameterGroup, nodeType: cacheNodeType, aws } = given;
  const ask = (name: string) => parameterValue({ parameterGroup, name, cacheNodeType, aws });
  const [most, reserved] = await Promise.all([ask('maxmemory'), ask('reserved-memory-percent')]);
  if (most === undefined || Number.isNaN(Number(most))) {
    throw new CannotCheck(`the memory of ${cacheNodeType} is not told`);
  }
  const percent = Number(reserved ?? DEFAULT_RESERVED);
  return { bytes: Number(most) * (1 - percent / 100), reserved: percent };
}
