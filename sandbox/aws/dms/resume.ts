import type { Cloud } from '../cloud.ts';
import { removeConnection, runTest } from './connections.ts';
import { removeEndpoint } from './endpoints.ts';
import { bringUpInstance, removeInstance, settleInstance } from './instance-lifecycle.ts';
import { beginTask, bringUpTask, carryOn, endTask, removeTask, settleTask } from './task-lifecycle.ts';

type Again<T> = Readonly<Record<string, (cloud: Cloud, item: T) => void>>;

/** Takes up DMS where an earlier run of the sandbox left it, however that ended: by status, what is still to be done. */
export function resumeDms(cloud: Cloud): void {
  const { dms } = cloud.store.state;
  again(cloud, Object.values(dms.instances), {
    creating: bringUpInstance,
    modifying: settleInstance,
    deleting: removeInstance,
  });
  const statuses = { deleting: removeEndpoint };
  again(cloud, Object.values(dms.endpoints), statuses);
  again(cloud, Object.values(dms.connections), { testing: runTest, deleting: removeConnection });
  again(cloud, Object.values(dms.tasks), {
    creating: bringUpTask,
    modifying: settleTask,
    starting: beginTask,
    running: carryOn,
    stopping: endTask,
    deleting: removeTask,
  });
}

function again<T extends { status: string }>(cloud: Cloud, items: readonly T[], work: Again<T>): void {
  for (const item of items) work[item.status]?.(cloud, item);
}
