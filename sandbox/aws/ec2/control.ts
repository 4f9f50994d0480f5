import { existsSync, lstatSync, readFileSync, realpathSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { z } from 'zod';
import type { Cloud } from '../cloud.ts';
import { MACHINES_SCHEMAS } from './control-schemas.ts';
import { findInstance } from './find.ts';
import { volumeFolder } from './folders.ts';
import { machinesOf, volumesOf } from './machines.ts';
import { scriptOf } from './script.ts';
import { seedMachine } from './seed.ts';
import type { SeededMachine } from './seed.ts';

type Given<K extends keyof typeof MACHINES_SCHEMAS> = z.input<(typeof MACHINES_SCHEMAS)[K]>;

/** Seeds machines, and scripts what becomes of them. Slow states are Control's `setTiming`, refused calls its `failNext`. */
export class MachinesControl {
  readonly #cloud: Cloud;

  constructor(cloud: Cloud) {
    this.#cloud = cloud;
  }

  /** Resolves when it runs. @throws Error when an address is in use, or a file is not to be put there */
  async create(given: Given<'create'>): Promise<SeededMachine> {
    return seedMachine(this.#cloud, MACHINES_SCHEMAS.create.parse(given));
  }

  /** The folder that holds the machine's root file system. Its other volumes have folders of their own. */
  folder(id: string): string {
    const instance = findInstance(this.#cloud, id);
    const root = volumesOf(this.#cloud, instance).find(({ attachment }) => attachment?.device === instance.rootDevice);
    if (root === undefined) throw new Error(`Machine ${id} is ${instance.state} and has no root volume.`);
    return volumeFolder(this.#cloud, root.id);
  }

  /** A file as the machine sees it under this path, whichever volume it is on; undefined when there is none. */
  readFile(id: string, file: string): string | undefined {
    const found = this.path(id, file);
    return existsSync(found) ? readFileSync(found, 'utf8') : undefined;
  }

  /** Where a path in the machine lies on this host. @throws Error when a link leads out of the machine's folder */
  path(id: string, file: string): string {
    const volumes = volumesOf(this.#cloud, findInstance(this.#cloud, id));
    const holding = volumes.findLast(({ mount = '/' }) => mount === '/' || `${file}/`.startsWith(`${mount}/`));
    if (holding === undefined) throw new Error(`Machine ${id} has no volume for ${file}.`);
    const folder = realpathSync(volumeFolder(this.#cloud, holding.id));
    const found = join(folder, holding.mount === '/' ? file : file.slice(holding.mount?.length));
    // One that is not there yet is where its folder is.
    let there = found;
    while (lstatSync(there, { throwIfNoEntry: false }) === undefined) there = dirname(there);
    if (!`${realpathSync(there)}/`.startsWith(`${folder}/`)) {
      throw new Error(`${file} of machine ${id} is a link that leads out of its folder.`);
    }
    return found;
  }

  /** Runs a script in the machine without SSM, with bash. */
  async run(id: string, script: string): Promise<{ code: number; stdout: string; stderr: string }> {
    const machine = machinesOf(this.#cloud).get(findInstance(this.#cloud, id).id);
    const name = `control-${Date.now()}-${Math.random().toString(36).slice(2)}`;
    const code = await machine.run(name, `#!/bin/bash\n${script}`);
    return { code, ...machine.output(name) };
  }

  failImages(given: Given<'failImages'> = {}): void {
    const { times: count, ...reason } = MACHINES_SCHEMAS.failImages.parse(given);
    for (let i = 0; i < count; i++) scriptOf(this.#cloud).imageFailures.push(reason);
  }

  failSnapshots(given: Given<'failSnapshots'> = {}): void {
    const { times: count, message } = MACHINES_SCHEMAS.failSnapshots.parse(given);
    for (let i = 0; i < count; i++) scriptOf(this.#cloud).snapshotFailures.push(message);
  }

  hideImages(given: Given<'hideImages'>): void {
    const { times: count, ms } = MACHINES_SCHEMAS.hideImages.parse(given);
    for (let i = 0; i < count; i++) scriptOf(this.#cloud).hiddenImages.push(ms);
  }

  showImages(given: Given<'showImages'> = {}): void {
    MACHINES_SCHEMAS.showImages.parse(given);
    for (const image of Object.values(this.#cloud.store.state.ec2.images)) image.visibleFrom = 0;
    this.#cloud.store.save();
  }

  loseCommands(given: Given<'loseCommands'> = {}): void {
    const { times: count, details } = MACHINES_SCHEMAS.loseCommands.parse(given);
    for (let i = 0; i < count; i++) scriptOf(this.#cloud).lostCommands.push(details);
  }

  check(given: Given<'check'>): void {
    const { instanceId: id, ...checks } = MACHINES_SCHEMAS.check.parse(given);
    if (id === undefined) scriptOf(this.#cloud).nextChecks = checks;
    else findInstance(this.#cloud, id).checks = checks;
    this.#cloud.store.save();
  }

  agent(given: Given<'agent'>): void {
    const { instanceId: id, status, afterMs } = MACHINES_SCHEMAS.agent.parse(given);
    if (id === undefined) scriptOf(this.#cloud).nextAgent = { status, afterMs };
    else Object.assign(findInstance(this.#cloud, id), { agent: status, agentDelay: afterMs });
    this.#cloud.store.save();
  }

  /** Forgets what was scripted. Machines keep their checks and agents. */
  reset(): void {
    scriptOf(this.#cloud).reset();
  }
}
