/** Machines, their volumes, images and snapshots. Plain JSON: kept in the sandbox's `state.json`. Dates are ISO 8601. */
export interface Ec2State {
  instances: Record<string, InstanceState>;
  volumes: Record<string, VolumeState>;
  snapshots: Record<string, VolumeSnapshotState>;
  images: Record<string, ImageState>;
  /** What RunInstances and CreateVolume made for a ClientToken, and for which input: the same token with another input is refused. */
  tokens: Record<string, { input: string; id: string }>;
  /** Machines were also made in the other server (moto), from an image that only it has. */
  elsewhere: boolean;
  /** Images that were deregistered: EC2 answers otherwise for them than for those that never were. */
  deregistered: string[];
}

export type InstanceStateName = 'pending' | 'running' | 'shutting-down' | 'terminated' | 'stopping' | 'stopped';

export type Check = 'ok' | 'impaired';

export interface InstanceState {
  id: string;
  reservationId: string;
  imageId: string;
  type: string;
  state: InstanceStateName;
  /** Why it is in this state: `Client.UserInitiatedShutdown`. */
  reason?: { code: string; message: string };
  launchedAt: string;
  /** When it last became `running`: its checks and its agent take their time from then. */
  runningSince?: string;
  terminatedAt?: string;
  privateIp: string;
  publicIp: string;
  /** Undefined until the other server was asked for its default subnet. */
  subnetId?: string;
  vpcId?: string;
  zone: string;
  securityGroups: { id: string; name: string }[];
  keyName?: string;
  profile?: { arn: string; id: string };
  userData?: string;
  userDataRan?: boolean;
  clientToken?: string;
  terminationProtected: boolean;
  stopProtected: boolean;
  shutdownBehavior: 'stop' | 'terminate';
  sourceDestCheck: boolean;
  ebsOptimized: boolean;
  metadata: { tokens: string; endpoint: string; hopLimit: number; tags: string };
  rootDevice: string;
  tags: Record<string, string>;
  /** What the sandbox was told that its checks show. */
  checks: { system: Check; instance: Check };
  agent: 'online' | 'lost' | 'none';
  /** Milliseconds from `running` until the agent is there. */
  agentDelay: number;
}

export interface AttachmentState {
  instanceId: string;
  device: string;
  deleteOnTermination: boolean;
  attachedAt: string;
}

/** A folder below `ec2/volumes`. */
export interface VolumeState {
  id: string;
  size: number;
  type: string;
  state: 'creating' | 'available' | 'in-use' | 'deleting' | 'error';
  zone: string;
  encrypted: boolean;
  snapshotId?: string;
  createdAt: string;
  attachment?: AttachmentState;
  /** Where a machine mounts it; on AWS the machine's own fstab says so. `/` for a root volume. */
  mount?: string;
  tags: Record<string, string>;
}

/** A folder below `ec2/snapshots`. */
export interface VolumeSnapshotState {
  id: string;
  volumeId: string;
  size: number;
  state: 'pending' | 'completed' | 'error';
  stateMessage?: string;
  description: string;
  startedAt: string;
  completedAt?: string;
  /** Milliseconds that it stays pending. */
  takes: number;
  /** It is to fail, with this. */
  fails?: string;
  /** Bytes copied. */
  bytes: number;
  /** The copy is whole: the point in time is fixed. */
  copied: boolean;
  encrypted: boolean;
  mount?: string;
  tags: Record<string, string>;
}

export interface ImageMapping {
  device: string;
  snapshotId: string;
  size: number;
  type: string;
  deleteOnTermination: boolean;
  encrypted: boolean;
}

export interface ImageState {
  id: string;
  name: string;
  description: string;
  ownerId: string;
  isPublic: boolean;
  state: 'pending' | 'available' | 'failed' | 'error' | 'invalid' | 'disabled';
  reason?: { code: string; message: string };
  createdAt: string;
  /** Milliseconds since the epoch before which no call finds it. */
  visibleFrom: number;
  /** Milliseconds that it stays pending. */
  takes: number;
  /** It is to fail, with this. */
  fails?: { code: string; message: string };
  sourceInstanceId?: string;
  /** Whether the machine was left running, as CreateImage was asked. */
  noReboot?: boolean;
  rootDevice: string;
  mappings: ImageMapping[];
  tags: Record<string, string>;
}

export function emptyEc2State(): Ec2State {
  return { instances: {}, volumes: {}, snapshots: {}, images: {}, tokens: {}, elsewhere: false, deregistered: [] };
}
