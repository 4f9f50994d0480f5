import type { Cloud } from '../cloud.ts';
import type { Check } from './state.ts';

export type LostCommand = 'Undeliverable' | 'Terminated' | 'Delivery Timed Out';

/** What tests and operators ask of the machines to come. */
class MachinesScript {
  imageFailures: { code: string; message: string }[] = [];
  snapshotFailures: string[] = [];
  /** Milliseconds. */
  hiddenImages: number[] = [];
  /** What becomes of the next commands before they reach a machine, as StatusDetails. */
  lostCommands: LostCommand[] = [];
  nextChecks: { system: Check; instance: Check } | undefined;
  nextAgent: { status: 'online' | 'lost' | 'none'; afterMs: number } | undefined;

  reset(): void {
    this.imageFailures = [];
    this.snapshotFailures = [];
    this.hiddenImages = [];
    this.lostCommands = [];
    this.nextChecks = undefined;
    this.nextAgent = undefined;
  }
}

const scripts = new WeakMap<Cloud, MachinesScript>();

export function scriptOf(cloud: Cloud): MachinesScript {
  const known = scripts.get(cloud) ?? new MachinesScript();
  scripts.set(cloud, known);
  return known;
}
