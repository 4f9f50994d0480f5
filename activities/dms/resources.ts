/** What a migration has in DMS, and what it is called there. Names come from the migration's id alone. */
import type { AwsTarget } from '../aws/clients.ts';

/** Kept in the workflow; holds no secret. */
export interface DmsResources {
  instanceArn: string;
  sourceArn: string;
  targetArn: string;
  taskArn: string;
  /** ReplicationTaskIdentifier. */
  taskId: string;
}

/**
 * DMS has no client tokens: a name that the id alone decides is what a second attempt finds its first one by (facts 4.4).
 * Lower case, letters, digits and single hyphens, at most 63 characters: DMS's narrowest rule, that of instances.
 */
export function dmsNames(migrationId: string) {
  const base = `cutover-${migrationId}`;
  return {
    instance: base,
    subnetGroup: base,
    source: `${base}-source`,
    target: `${base}-target`,
    task: base,
  };
}

/** The last part of an ARN; DMS names slots and the rows of its control tables by the task's. */
export function resourceIdOf(arn: string): string {
  return arn.slice(arn.lastIndexOf(':') + 1);
}

export const regionFlag = (aws: AwsTarget) => (aws.region ? ` --region ${aws.region}` : '');
