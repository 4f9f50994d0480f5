/** The task's replication slot on the source. */
import type pg from 'pg';
import { readSlots, type SlotReading } from '../postgres/slots.ts';
import { resourceIdOf } from './resources.ts';

/** DMS names a slot by the beginning of the task's resource id, in lower case, with letters and numbers of its own around it [I]. */
const PREFIX = 16;
/** Resource ids are random letters; a shorter one would prove nothing. */
const SHORTEST = 8;

/** True where a slot of this name is this task's. */
export function isSlotOf(taskArn: string, slot: string): boolean {
  const prefix = slotName(resourceIdOf(taskArn)).slice(0, PREFIX);
  return prefix.length >= SHORTEST && slotName(slot).includes(prefix);
}

/** What a slot's name can be: lower case, digits and underscores. */
const slotName = (text: string) => text.toLowerCase().replaceAll(/[^a-z0-9_]/g, '_');

export async function slotsOf(source: pg.ClientBase, taskArn: string): Promise<SlotReading[]> {
  return (await readSlots(source)).filter(({ name }) => isSlotOf(taskArn, name));
}
