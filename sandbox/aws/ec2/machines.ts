import type { Cloud } from '../cloud.ts';
import { AwsFault } from '../faults.ts';
import { dropFolder, runFolder, volumeFolder } from './folders.ts';
import { Machine } from './machine/machine.ts';
import type { InstanceState, VolumeState } from './state.ts';

/** Seconds between TERM and KILL when a machine is shut down; AWS gives minutes. */
const GRACE_SECONDS = 3;

/** The processes of an account's machines. */
class Machines {
  readonly #cloud: Cloud;
  readonly #running = new Map<string, Machine>();
  readonly #problems = new Map<string, unknown>();
  #kept = false;

  constructor(cloud: Cloud) {
    this.#cloud = cloud;
  }

  /** Starts a machine's processes. Where this host cannot keep it apart, it stays a machine without processes. */
  async boot(instance: InstanceState): Promise<void> {
    this.#keep();
    if (this.#cloud.background.stopped) return;
    const volumes = volumesOf(this.#cloud, instance);
    const root = volumes.find((volume) => volume.attachment?.device === instance.rootDevice);
    this.#problems.delete(instance.id);
    try {
      if (root === undefined) throw new AwsFault('SandboxFailure', `Machine ${instance.id} has no root volume.`);
      const machine = await Machine.start({
        id: instance.id,
        root: volumeFolder(this.#cloud, root.id),
        mounts: volumes.flatMap(({ id, mount }) =>
          mount === undefined || mount === '/' || id === root.id
            ? []
            : [{ folder: volumeFolder(this.#cloud, id), mount }],
        ),
        runDir: runFolder(this.#cloud, instance.id),
        hostname: hostName(instance.privateIp),
        env: {
          INSTANCE_ID: instance.id,
          PRIVATE_IP: instance.privateIp,
          PUBLIC_IP: instance.publicIp,
          HOSTNAME: hostName(instance.privateIp),
          AWS_SSM_INSTANCE_ID: instance.id,
          AWS_SSM_REGION_NAME: this.#cloud.region,
        },
      });
      this.#running.set(instance.id, machine);
      void machine.exited.then(() => {
        if (this.#running.get(instance.id) === machine) this.#running.delete(instance.id);
      });
    } catch (error) {
      this.#problems.set(instance.id, error);
    }
    // The sandbox was stopped while it came up.
    if (this.#cloud.background.stopped) await this.stopAll();
  }

  /** @throws AwsFault SandboxFailure when it has no processes, saying why. */
  get(instanceId: string): Machine {
    const machine = this.#running.get(instanceId);
    if (machine !== undefined) return machine;
    const problem = this.#problems.get(instanceId);
    if (problem !== undefined) throw problem;
    throw new AwsFault('SandboxFailure', `Machine ${instanceId} has no processes: it does not run.`);
  }

  runs(instanceId: string): boolean {
    return this.#running.has(instanceId);
  }

  async shutDown(instanceId: string): Promise<void> {
    await this.#running.get(instanceId)?.shutDown(GRACE_SECONDS);
  }

  async powerOff(instanceId: string): Promise<void> {
    await this.#running.get(instanceId)?.powerOff();
  }

  /** Its processes stand still while `work` runs. One without processes is still anyway. */
  async frozen<T>(instanceId: string, work: () => Promise<T>): Promise<T> {
    const machine = this.#running.get(instanceId);
    return machine === undefined ? work() : machine.frozen(work);
  }

  forget(instanceId: string): void {
    this.#problems.delete(instanceId);
    dropFolder(runFolder(this.#cloud, instanceId));
  }

  async stopAll(): Promise<void> {
    await Promise.all([...this.#running.values()].map((machine) => machine.powerOff()));
  }

  /** A job that ends with the sandbox, and ends the machines then. */
  #keep(): void {
    if (this.#kept) return;
    this.#kept = true;
    const { background } = this.#cloud;
    background.run('machines', 'ec2:machines', async () => {
      try {
        await background.orStopped(new Promise<never>(() => {}));
      } finally {
        await this.stopAll();
      }
    });
  }
}

const machines = new WeakMap<Cloud, Machines>();

export function machinesOf(cloud: Cloud): Machines {
  const known = machines.get(cloud) ?? new Machines(cloud);
  machines.set(cloud, known);
  return known;
}

export function volumesOf(cloud: Cloud, instance: InstanceState): VolumeState[] {
  const { volumes } = cloud.store.state.ec2;
  const own = Object.values(volumes).filter((volume) => volume.attachment?.instanceId === instance.id);
  // A mount inside another comes after it.
  return own.sort((a, b) => (a.mount ?? '').length - (b.mount ?? '').length);
}

/** `ip-10-0-0-1`, as AWS names machines by their address. */
export function hostName(privateIp: string): string {
  return `ip-${privateIp.replaceAll('.', '-')}`;
}
