/** The state of a task that starts from the beginning. */
import { discover, type SourceTable } from './catalog.ts';
import type { TaskSpec } from './contract.ts';
import { tableKey } from './decoding.ts';
import { selectionOf } from './selection.ts';
import { withSession } from './sessions.ts';
import { createSlot, findSlot, requireSlot, slotName } from './slot.ts';
import { freshTable, type TableState, type TaskState } from './state.ts';
import type { TaskSettings } from './task-settings.ts';

/**
 * Makes the slot, then looks which tables there are: nothing that is written from now on is missed.
 * @throws Error with the server's words when the source can't be read or the slot can't be made
 */
export async function newState(spec: TaskSpec, settings: TaskSettings): Promise<TaskState> {
  const selected = selectionOf(spec.mappings);
  const named = slotName(spec);
  const follows = spec.migrationType !== 'full-load';
  let position = '0/0';
  let { owned } = named;
  if (follows) {
    const there = await withSession(spec.source, 'source', spec.id, (client) => findSlot(client, named.slot));
    if (there === undefined) {
      position = await createSlot(spec, named.slot);
      owned = true;
    } else position = (await requireSlot(spec, named.slot)).position;
  }
  const found = await withSession(spec.source, 'source', spec.id, (client) => discover(client, selected));
  const tables = found.tables.map(
    (table) => [tableKey(table.schema, table.name), tableToMove(spec, settings, table)] as const,
  );
  return {
    version: 1,
    mappings: spec.mappings,
    slot: follows ? named.slot : '',
    slotOwned: follows && owned,
    slotStart: position,
    phase: spec.migrationType === 'cdc' ? 'cdc' : 'load',
    position,
    tables: Object.fromEntries(tables),
    standIns: Object.fromEntries(found.standIns),
    dates: { fresh: Date.now() },
    elapsedMs: 0,
  };
}

/** A table at its beginning; a task that loads nothing takes it as loaded. */
export function tableToMove(spec: TaskSpec, settings: TaskSettings, table: SourceTable): TableState {
  const fresh = freshTable(table);
  if (spec.migrationType === 'cdc' || settings.validationOnly) fresh.state = 'Table completed';
  return fresh;
}
