// The worker container's health check: does Temporal see this container's worker polling each of its queues?
// A worker that has lost Temporal, or one of its queues, still runs, and carries no migration out.
import { hostname } from 'node:os';
import { connect, defaultTaskQueue } from '../dist/client/index.js';
import { taskQueues } from '../dist/spec/contract.js';

// TASK_QUEUE_TYPE_WORKFLOW and TASK_QUEUE_TYPE_ACTIVITY of Temporal's API.
const WORKFLOW = 1;
const ACTIVITY = 2;
/** A poll of an idle worker lasts a minute, and the server notes only when it began. */
const SEEN_LATELY_MS = 90_000;

const { main, wait, copy } = taskQueues(defaultTaskQueue());
const polled = [
  [main, WORKFLOW],
  [main, ACTIVITY],
  [wait, ACTIVITY],
  [copy, ACTIVITY],
];

async function unpolled(client) {
  const ours = `cutover@${hostname()}#`;
  const missing = await Promise.all(
    polled.map(async ([name, taskQueueType]) => {
      const { pollers } = await client.withDeadline(Date.now() + 10_000, () =>
        client.workflowService.describeTaskQueue({
          namespace: client.options.namespace,
          taskQueue: { name },
          taskQueueType,
        }),
      );
      const seen = (pollers ?? []).some(
        ({ identity, lastAccessTime }) =>
          identity?.startsWith(ours) && Date.now() - Number(lastAccessTime?.seconds ?? 0) * 1000 < SEEN_LATELY_MS,
      );
      return seen ? [] : [`${name} (${taskQueueType === WORKFLOW ? 'workflows' : 'activities'})`];
    }),
  );
  return missing.flat();
}

try {
  const client = await connect();
  const missing = await unpolled(client);
  await client.connection.close();
  if (missing.length > 0) throw new Error(`no worker of ${hostname()} polls ${missing.join(', ')}`);
  console.log('polling');
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}
