/** Commands that were sent to machines, and what came of them. Plain JSON; dates are ISO 8601. */
export interface SsmState {
  commands: Record<string, CommandState>;
}

export interface CommandState {
  id: string;
  document: string;
  comment: string;
  parameters: Record<string, string[]>;
  instanceIds: string[];
  /** Seconds until it must have reached the machine. */
  timeoutSeconds: number;
  /** Seconds that it may run. */
  executionTimeout: number;
  requestedAt: string;
  bucket?: string;
  prefix?: string;
  cloudWatch?: { group: string; enabled: boolean };
  /** Milliseconds that it stays `Pending`, and that GetCommandInvocation does not find it. */
  pendingMs: number;
  invocations: Record<string, InvocationState>;
}

export type InvocationStatus =
  'Pending' | 'InProgress' | 'Delayed' | 'Success' | 'Cancelled' | 'TimedOut' | 'Failed' | 'Cancelling';

export interface InvocationState {
  instanceId: string;
  status: InvocationStatus;
  /** The status, or more of it: `Delivery Timed Out`, with spaces (facts/redis-aws 3.6). */
  details: string;
  /** -1 until it has ended. */
  code: number;
  startedAt?: string;
  endedAt?: string;
  stdout: string;
  stderr: string;
}

export function emptySsmState(): SsmState {
  return { commands: {} };
}
