import type { Cloud } from '../cloud.ts';
import { dropFolder, volumeFolder } from './folders.ts';
import { machinesOf, volumesOf } from './machines.ts';
import type { InstanceState } from './state.ts';

/** Work on one machine is done in turn. */
export function inTurn(cloud: Cloud, instance: InstanceState, what: string, job: () => Promise<void>): void {
  cloud.background.run(`${what} ${instance.id}`, `ec2:${instance.id}`, job);
}

/** `pending` to `running`, with its processes. */
export function bringUp(cloud: Cloud, instance: InstanceState): void {
  inTurn(cloud, instance, 'start', async () => {
    await cloud.background.sleep(cloud.timing.instancePending);
    if (instance.state !== 'pending') return; // Terminated meanwhile.
    await machinesOf(cloud).boot(instance);
    becomeRunning(cloud, instance);
    await runUserData(cloud, instance);
  });
}

function becomeRunning(cloud: Cloud, instance: InstanceState): void {
  instance.state = 'running';
  instance.runningSince = new Date().toISOString();
  delete instance.reason;
  cloud.store.save();
}

/** As cloud-init does at a machine's first start. Not waited for. */
async function runUserData(cloud: Cloud, instance: InstanceState): Promise<void> {
  if (instance.userDataRan === true || instance.userData === undefined) return;
  instance.userDataRan = true;
  cloud.store.save();
  const script = Buffer.from(instance.userData, 'base64').toString('utf8');
  if (script.startsWith('#!') && machinesOf(cloud).runs(instance.id)) {
    void machinesOf(cloud).get(instance.id).run('user-data', script);
  }
}

/** `stopping` to `stopped`. @param force as if the power failed: nothing is told to end */
export function bringDown(cloud: Cloud, instance: InstanceState, force: boolean): void {
  inTurn(cloud, instance, 'stop', async () => {
    await Promise.all([
      force ? machinesOf(cloud).powerOff(instance.id) : machinesOf(cloud).shutDown(instance.id),
      cloud.background.sleep(cloud.timing.instanceStopping),
    ]);
    if (instance.state !== 'stopping') return;
    instance.state = 'stopped';
    delete instance.runningSince;
    cloud.store.save();
  });
}

/** Its processes end and start anew; the state stays `running` all the time, as on EC2. */
export async function restart(cloud: Cloud, instance: InstanceState, whileDown = async () => {}): Promise<void> {
  await machinesOf(cloud).shutDown(instance.id);
  await whileDown();
  if (instance.state !== 'running') return;
  await machinesOf(cloud).boot(instance);
  becomeRunning(cloud, instance);
}

/** `shutting-down` to `terminated`: volumes go with it, or are let go, as each was attached. */
export function takeAway(cloud: Cloud, instance: InstanceState): void {
  inTurn(cloud, instance, 'terminate', async () => {
    await Promise.all([machinesOf(cloud).shutDown(instance.id), cloud.background.sleep(cloud.timing.instanceStopping)]);
    const { volumes } = cloud.store.state.ec2;
    for (const volume of volumesOf(cloud, instance)) {
      const deleted = volume.attachment?.deleteOnTermination === true;
      delete volume.attachment;
      if (deleted) {
        delete volumes[volume.id];
        dropFolder(volumeFolder(cloud, volume.id));
      } else {
        volume.state = 'available';
      }
    }
    instance.state = 'terminated';
    delete instance.runningSince;
    machinesOf(cloud).forget(instance.id);
    cloud.store.save();
  });
}
