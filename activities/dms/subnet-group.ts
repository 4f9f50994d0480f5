/** The replication subnet group of an instance that we make. */
import { CreateReplicationSubnetGroupCommand } from '@aws-sdk/client-database-migration-service';
import type { Postgres } from '../../spec/kind-postgres.ts';
import { dms } from '../aws/clients.ts';
import { awsFailure, isCode } from '../aws/failure.ts';
import { findSubnetGroup } from './describe.ts';
import { dmsNames, resourceIdOf } from './resources.ts';
import { migrationTags, requireOurs } from './tags.ts';

/**
 * Makes the group of these subnets, or adopts our own earlier one. Safe to run twice.
 * @returns its identifier
 * @throws cutover.NotOurs, cutover.Invalid (subnets), cutover.Denied, cutover.Throttled, cutover.Unreachable
 */
export async function ensureSubnetGroup(migration: Postgres, subnetIds: string[]): Promise<string> {
  const { aws } = migration.replication;
  const id = dmsNames(migration.id).subnetGroup;
  const command = new CreateReplicationSubnetGroupCommand({
    ReplicationSubnetGroupIdentifier: id,
    ReplicationSubnetGroupDescription: `made by cutover for the migration ${migration.id}`,
    SubnetIds: subnetIds,
    Tags: migrationTags(migration.id),
  });
  if (!(await findSubnetGroup(aws, id))) {
    try {
      await dms(aws).send(command);
      return id;
    } catch (error) {
      // Describe may lag behind our own earlier call.
      if (!isCode(error, 'ResourceAlreadyExistsFault')) throw awsFailure(error, `CreateReplicationSubnetGroup ${id}`);
    }
  }
  return id;
}

/** DMS tells no ARN of a subnet group: it is that of the instance with other last parts. */
export function subnetGroupArn(instanceArn: string, id: string): string {
  return `${instanceArn.slice(0, -`rep:${resourceIdOf(instanceArn)}`.length)}subgrp:${id}`;
}

/** @throws cutover.NotOurs */
export async function requireOurSubnetGroup(migration: Postgres, instanceArn: string, id: string): Promise<void> {
  await requireOurs(
    migration.replication.aws,
    migration.id,
    `the replication subnet group ${id}`,
    subnetGroupArn(instanceArn, id),
  );
}
