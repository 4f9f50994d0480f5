import type { Cloud } from '../cloud.ts';
import { emitDms } from './events.ts';
import type { InstanceState } from './state.ts';

/** Background work of CreateReplicationInstance. */
export function bringUpInstance(cloud: Cloud, instance: InstanceState): void {
  later(cloud, instance, 'create', cloud.timing.dmsCreating, () => {
    instance.status = 'available';
    cloud.store.save();
    emitDms(cloud, 'replication-instance', instance.id, 'creation', 'Replication instance has been created.');
  });
}

/** Background work of ModifyReplicationInstance with ApplyImmediately. */
export function settleInstance(cloud: Cloud, instance: InstanceState): void {
  later(cloud, instance, 'modify', cloud.timing.dmsModifying, () => {
    Object.assign(instance, instance.pending);
    instance.pending = {};
    instance.status = 'available';
    cloud.store.save();
    emitDms(
      cloud,
      'replication-instance',
      instance.id,
      'configuration change',
      'Replication instance has been modified.',
    );
  });
}

/** Background work of DeleteReplicationInstance. Its connections end with it. */
export function removeInstance(cloud: Cloud, instance: InstanceState): void {
  later(cloud, instance, 'delete', cloud.timing.dmsDeleting, () => {
    const { dms } = cloud.store.state;
    for (const [key, connection] of Object.entries(dms.connections)) {
      if (connection.instanceArn === instance.arn) delete dms.connections[key];
    }
    delete dms.instances[instance.arn];
    cloud.store.save();
    emitDms(cloud, 'replication-instance', instance.id, 'deletion', 'Replication instance has been deleted.');
  });
}

function later(cloud: Cloud, instance: InstanceState, what: string, ms: number, then: () => void): void {
  cloud.background.run(`${what} replication instance ${instance.id}`, instance.arn, async () => {
    await cloud.background.sleep(ms);
    if (cloud.store.state.dms.instances[instance.arn] === instance) then();
  });
}
