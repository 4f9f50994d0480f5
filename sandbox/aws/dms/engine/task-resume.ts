/** What a task that goes on takes of mappings that were changed while it was stopped (ModifyReplicationTask). */
import { isDeepStrictEqual } from 'node:util';
import type pg from 'pg';
import { discover } from './catalog.ts';
import type { TaskSpec } from './contract.ts';
import { tableKey } from './decoding.ts';
import { selectionOf } from './selection.ts';
import type { TaskState } from './state.ts';
import { tableToMove } from './task-begin.ts';
import type { TaskSettings } from './task-settings.ts';

/**
 * Brings the state in line with the mappings. Twice is the same as once.
 *
 * - A table that they take no more is forgotten, with its statistics: it gets no change from here on, also none of those
 *   that were committed on the source before and not applied yet. What is on the target stays there.
 * - A table that they take now and did not take before is loaded when the task runs, and follows from its load on, as one
 *   that is reloaded. A task of changes only takes its changes from the task's position on. (So it is said of AWS; the
 *   guide has no word on it, and it is not verified there.)
 * - All others keep their state. A table that was created since under mappings that took its name all along is not
 *   looked for: it comes with the next start from the beginning.
 *
 * @throws Error with the server's words when the source can't be read; what selectionOf says of mappings it can't read
 */
export async function takeMappings(
  client: pg.Client,
  spec: TaskSpec,
  settings: TaskSettings,
  state: TaskState,
): Promise<void> {
  if (isDeepStrictEqual(state.mappings, spec.mappings)) return;
  const selected = selectionOf(spec.mappings);
  const found = await discover(client, selected);
  const before = state.mappings === undefined ? undefined : selectionOf(state.mappings);
  const kept = Object.entries(state.tables).filter(([, { table }]) => selected(table.schema, table.name));
  const tables = Object.fromEntries(kept);
  for (const table of found.tables) {
    // Of mappings that are not known any more nothing can be new.
    if (before === undefined || before(table.schema, table.name)) continue;
    tables[tableKey(table.schema, table.name)] ??= tableToMove(spec, settings, table);
  }
  state.tables = tables;
  state.standIns = Object.fromEntries([...found.standIns].filter(([, root]) => root in tables));
  state.mappings = spec.mappings;
  // What a full load only has done is done, but for what is new.
  if (state.phase === 'done' && Object.values(tables).some((table) => table.state === 'Before load'))
    state.phase = 'load';
}
