/** What the emulated account holds of DMS. Plain JSON: it is a part of `state.json`. Keys are ARNs unless said otherwise. */
export interface DmsState {
  /** By identifier. */
  subnetGroups: Record<string, SubnetGroupState>;
  instances: Record<string, InstanceState>;
  endpoints: Record<string, EndpointState>;
  /** By `<instance ARN> <endpoint ARN>`. */
  connections: Record<string, ConnectionState>;
  tasks: Record<string, TaskState>;
  events: DmsEventState[];
  /** Number of the next event; events carry no id on the wire. */
  nextEvent: number;
}

export interface SubnetGroupState {
  id: string;
  arn: string;
  description: string;
  subnetIds: string[];
  tags: Record<string, string>;
}

export interface InstanceState {
  id: string;
  arn: string;
  /** creating, available, modifying, deleting (facts/postgres-dms 4.1). */
  status: string;
  instanceClass: string;
  /** GiB. */
  allocatedStorage: number;
  multiAz: boolean;
  engineVersion: string;
  /** Undefined for the default VPC's. */
  subnetGroup?: string;
  securityGroupIds: string[];
  availabilityZone: string;
  maintenanceWindow: string;
  autoMinorVersionUpgrade: boolean;
  publiclyAccessible: boolean;
  kmsKeyId: string;
  networkType: string;
  /** Changes asked for that are not there yet. */
  pending: InstanceChange;
  tags: Record<string, string>;
  createdAt: string;
}

export interface InstanceChange {
  instanceClass?: string;
  allocatedStorage?: number;
  multiAz?: boolean;
  engineVersion?: string;
}

export type SslMode = 'none' | 'require' | 'verify-ca' | 'verify-full';

export interface EndpointState {
  id: string;
  arn: string;
  type: 'source' | 'target';
  engine: string;
  /** active, deleting. */
  status: string;
  host: string;
  port: number;
  database: string;
  user: string;
  /** Never in an answer, and never in the log of calls. */
  password: string;
  sslMode: SslMode;
  certificateArn?: string;
  kmsKeyId: string;
  /** As it was given. */
  extraAttributes?: string;
  /** PostgreSQLSettings without address and password, and what ExtraConnectionAttributes say, under the API's names. */
  settings: Record<string, unknown>;
  tags: Record<string, string>;
}

export interface ConnectionState {
  instanceArn: string;
  endpointArn: string;
  /** testing, successful, failed, deleting. */
  status: string;
  failure?: string;
  /** Number of the test: an older one's result doesn't count. */
  test: number;
}

export type StartType = 'start-replication' | 'resume-processing' | 'reload-target';
export type MigrationType = 'full-load' | 'cdc' | 'full-load-and-cdc';

export interface TaskState {
  id: string;
  arn: string;
  resourceId: string;
  /** creating, ready, starting, running, stopping, stopped, failed, modifying, deleting. */
  status: string;
  sourceArn: string;
  targetArn: string;
  instanceArn: string;
  migrationType: MigrationType;
  /** The document as it was given. */
  mappings: string;
  /** With the defaults filled in. */
  settings: Record<string, unknown>;
  taskData?: string;
  /** With the prefix `Stop Reason `. */
  stopReason?: string;
  failure?: string;
  createdAt: string;
  startedAt?: string;
  /** The last start-replication or reload-target that reached `running`. */
  freshStartAt?: string;
  stoppedAt?: string;
  /** Of the start under way or the last one. */
  startType?: StartType;
  /** The status after `modifying`. */
  settled?: string;
  tags: Record<string, string>;
}

export type DmsSource = 'replication-instance' | 'replication-task';

export interface DmsEventState {
  number: number;
  sourceType: DmsSource;
  sourceId: string;
  categories: string[];
  message: string;
  date: string;
}

export function emptyDmsState(): DmsState {
  return { subnetGroups: {}, instances: {}, endpoints: {}, connections: {}, tasks: {}, events: [], nextEvent: 1 };
}

export function connectionKey(instanceArn: string, endpointArn: string): string {
  return `${instanceArn} ${endpointArn}`;
}
