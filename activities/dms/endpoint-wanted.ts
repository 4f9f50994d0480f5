/** The two endpoints as they should be: what of the file decides them, and why each setting is there. Pure. */
import type { CreateEndpointMessage } from '@aws-sdk/client-database-migration-service';
import type { Postgres } from '../../spec/kind-postgres.ts';
import { OWN_SCHEMA } from '../../spec/postgres-plan.ts';
import type { SecretRef } from '../../spec/values.ts';
import { dmsNames } from './resources.ts';

export type EndpointSide = 'source' | 'target';
export type EndpointWanted = Omit<CreateEndpointMessage, 'Password' | 'Tags'>;

/** How often the heartbeat writes, minutes: it keeps the slot of an idle database from holding WAL back (facts 4.6). */
const HEARTBEAT_MINUTES = 1;

/** Who DMS logs in as. Without a user of its own it is the worker's, with the worker's password. */
export function dmsLogin(migration: Postgres, side: EndpointSide): { user: string; password: SecretRef | undefined } {
  const own = migration.replication[side === 'source' ? 'sourceEndpoint' : 'targetEndpoint'];
  const worker = migration[side];
  const user = own.user ?? worker.user;
  return { user, password: own.password ?? (user === worker.user ? worker.password : undefined) };
}

export function endpointWanted(migration: Postgres, side: EndpointSide): EndpointWanted {
  const { replication } = migration;
  const own = replication[side === 'source' ? 'sourceEndpoint' : 'targetEndpoint'];
  const server = migration[side];
  return {
    EndpointIdentifier: dmsNames(migration.id)[side],
    EndpointType: side,
    EngineName: 'postgres',
    ServerName: own.host ?? server.host,
    Port: own.port ?? server.port,
    DatabaseName: server.database,
    Username: dmsLogin(migration, side).user,
    SslMode: own.sslMode,
    ...(own.certificateArn === undefined ? {} : { CertificateArn: own.certificateArn }),
    // A NUMERIC without precision would be rounded to (28,6) on its way; as text it is exact. Both ends have to say it.
    ExtraConnectionAttributes: 'MapUnboundedNumericAsString=true;',
    PostgreSQLSettings: {
      MapBooleanAsBoolean: true,
      ...(side === 'source'
        ? {
            PluginName: replication.plugin === 'pglogical' ? ('pglogical' as const) : ('test-decoding' as const),
            HeartbeatEnable: true,
            HeartbeatFrequency: HEARTBEAT_MINUTES,
            HeartbeatSchema: OWN_SCHEMA,
            // DDL capture needs an event trigger on the source, and a schema change is not followed anyway.
            CaptureDdls: false,
            // A value that is cut off must stop the task.
            FailTasksOnLobTruncation: true,
            TrimSpaceInChar: false,
          }
        : {
            // Triggers and foreign keys of the target must not act a second time on rows that they acted on already.
            AfterConnectScript: `SET session_replication_role='replica'`,
          }),
    },
  };
}
