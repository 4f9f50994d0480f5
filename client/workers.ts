/** Is there a worker? Without one, commands and questions would hang until one comes, so it is asked first. */
import type { Client } from '@temporalio/client';
import { NoWorker } from './errors.ts';
import { call } from './grpc-failure.ts';

export interface Poller {
  identity: string;
  lastSeen: Date;
}

/** TASK_QUEUE_TYPE_WORKFLOW of Temporal's API. */
const WORKFLOW_QUEUE = 1;
/** A poll of an idle worker lasts a minute, and the server notes only when it began. */
const SEEN_LATELY_MS = 90_000;

/** The workers that poll the workflows of `taskQueue`, as the server remembers them (about five minutes). */
export async function pollers(client: Client, taskQueue: string): Promise<Poller[]> {
  const answer = await call(client, 10_000, () =>
    client.workflowService.describeTaskQueue({
      namespace: client.options.namespace,
      taskQueue: { name: taskQueue },
      taskQueueType: WORKFLOW_QUEUE,
    }),
  );
  return (answer.pollers ?? []).map(({ identity, lastAccessTime }) => ({
    identity: identity ?? '',
    lastSeen: new Date(Number(lastAccessTime?.seconds ?? 0) * 1000),
  }));
}

/** @throws NoWorker where none has polled lately; `known` is what can be said all the same. */
export async function expectWorker(client: Client, taskQueue: string, known = ''): Promise<void> {
  const found = await pollers(client, taskQueue);
  const latest = Math.max(0, ...found.map(({ lastSeen }) => lastSeen.getTime()));
  if (Date.now() - latest < SEEN_LATELY_MS) return;
  throw new NoWorker(
    taskQueue,
    (latest === 0 ? '' : `; the last was seen at ${new Date(latest).toISOString()}`) + known,
  );
}
