import type { Cloud } from '../cloud.ts';
import { settleImage } from './image-making.ts';
import { bringDown, bringUp, takeAway } from './instance-lifecycle.ts';
import { machinesOf } from './machines.ts';
import { copyNow, settleSnapshot } from './snapshot-taking.ts';

/** Takes up what was under way when the sandbox ended. Machines that ran start anew: their processes ended with it. */
export async function resumeEc2(cloud: Cloud): Promise<void> {
  const { instances, images, snapshots } = cloud.store.state.ec2;
  await Promise.all(
    Object.values(instances).map(async (instance) => {
      if (instance.state === 'running') await machinesOf(cloud).boot(instance);
      if (instance.state === 'pending') bringUp(cloud, instance);
      if (instance.state === 'stopping') bringDown(cloud, instance, true);
      if (instance.state === 'shutting-down') takeAway(cloud, instance);
    }),
  );
  for (const snapshot of Object.values(snapshots)) {
    if (snapshot.state !== 'pending') continue;
    // The call that asked for it was never answered: a later point in time is as good.
    if (snapshot.copied || snapshot.fails !== undefined) settleSnapshot(cloud, snapshot);
    else await copyNow(cloud, undefined, [snapshot]);
  }
  for (const image of Object.values(images)) if (image.state === 'pending') settleImage(cloud, image);
}
