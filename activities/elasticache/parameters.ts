/** Parameters of a group. CONFIG is blocked on ElastiCache, so its parameter group is the one place that tells them. */
import { DescribeCacheParametersCommand } from '@aws-sdk/client-elasticache';
import { elasticache, type AwsTarget } from '../aws/clients.ts';
import { awsFailure } from '../aws/failure.ts';

/** Pages of 100; a family has fewer than 200 parameters, so more pages mean a marker that goes in circles. */
const MOST_PAGES = 50;

/**
 * The value of one parameter of a parameter group; undefined where the group has none of this name or it is unset.
 * @param args.cacheNodeType Some parameters (`maxmemory`) differ by node type; given it, that value is the answer.
 * @throws cutover.NotFound (no such parameter group), cutover.Denied, cutover.Throttled, cutover.Unreachable
 */
export async function parameterValue(args: {
  parameterGroup: string;
  name: string;
  cacheNodeType?: string;
  aws?: AwsTarget;
}): Promise<string | undefined> {
  const { parameterGroup, name, cacheNodeType, aws = {} } = args;
  let marker: string | undefined;
  for (let page = 0; page < MOST_PAGES; page++) {
    const answer = await onePage(aws, parameterGroup, marker);
    const specific = answer.CacheNodeTypeSpecificParameters?.find((p) => p.ParameterName === name);
    const ofType = specific?.CacheNodeTypeSpecificValues?.find((v) => v.CacheNodeType === cacheNodeType);
    if (ofType?.Value !== undefined) return ofType.Value;
    const found = answer.Parameters?.find((p) => p.ParameterName === name);
    if (found) return found.ParameterValue;
    if (!answer.Marker) return undefined;
    marker = answer.Marker;
  }
  return undefined;
}

async function onePage(aws: AwsTarget, group: string, marker: string | undefined) {
  try {
    return await elasticache(aws).send(
      new DescribeCacheParametersCommand({ CacheParameterGroupName: group, ...(marker ? { Marker: marker } : {}) }),
    );
  } catch (error) {
    throw awsFailure(error, `DescribeCacheParameters of ${group}`);
  }
}
