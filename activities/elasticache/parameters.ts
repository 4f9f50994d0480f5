/** Parameters of a group. CONFIG is blocked on ElastiCache, so its parameter group is the one place that tells them. */
import { paginateDescribeCacheParameters } from '@aws-sdk/client-elasticache';
import { elasticache, type AwsTarget } from '../aws/clients.ts';
import { awsFailure } from '../aws/failure.ts';
import { firstPages } from '../aws/first-pages.ts';

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
  const pages = paginateDescribeCacheParameters(
    { client: elasticache(aws) },
    { CacheParameterGroupName: parameterGroup },
  );
  try {
    for await (const page of firstPages(pages, MOST_PAGES)) {
      const specific = page.CacheNodeTypeSpecificParameters?.find((p) => p.ParameterName === name);
      const ofType = specific?.CacheNodeTypeSpecificValues?.find((v) => v.CacheNodeType === cacheNodeType);
      if (ofType?.Value !== undefined) return ofType.Value;
      const found = page.Parameters?.find((p) => p.ParameterName === name);
      if (found) return found.ParameterValue;
    }
  } catch (error) {
    throw awsFailure(error, `DescribeCacheParameters of ${parameterGroup}`);
  }
  return undefined;
}
