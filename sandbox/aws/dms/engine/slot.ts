/** The replication slot on the source. It is named by the task, and stays when the task is stopped. */
import type pg from 'pg';
import { setTimeout as delay } from 'node:timers/promises';
import type { TaskSpec } from './contract.ts';
import { messageOf, sqlState, TaskFailure } from './failures.ts';
import { withSession } from './sessions.ts';

const ACTIVE = '55006';
const UNDEFINED = '42704';
const PATIENCE_MS = 20_000;

/** As DMS names its slots: the task's resource id, letters, digits and underscores. */
export function slotName(spec: TaskSpec): { slot: string; owned: boolean } {
  const own = spec.source.settings['SlotName'];
  if (typeof own === 'string' && own !== '') return { slot: own, owned: false };
  const name = spec.resourceId.toLowerCase().replace(/[^a-z0-9_]/g, '_');
  return { slot: `awsdms_${name}`.slice(0, 63), owned: true };
}

/**
 * Makes it, once the transactions that are open on the source have ended.
 * @returns its consistent point: every transaction that commits after it will be read
 * @throws TaskFailure where the server refuses it (wal_level, no free slot, the role), with the server's words
 */
export async function createSlot(spec: TaskSpec, slot: string): Promise<string> {
  return withSession(spec.source, 'source', spec.id, async (client) => {
    try {
      const { rows } = await client.query<{ lsn: string }>(
        `SELECT lsn::text AS lsn FROM pg_create_logical_replication_slot($1, 'test_decoding')`,
        [slot],
      );
      return rows[0]?.lsn ?? '0/0';
    } catch (error) {
      throw new TaskFailure('FATAL_ERROR', `Error creating replication slot '${slot}': ${messageOf(error)}`, {
        cause: error,
      });
    }
  });
}

export interface SlotFacts {
  plugin: string;
  position: string;
  lost: boolean;
}

/** undefined: there is no such slot. */
export async function findSlot(client: pg.Client, slot: string): Promise<SlotFacts | undefined> {
  const { rows } = await client.query<SlotFacts>(
    `SELECT plugin, confirmed_flush_lsn::text AS position,
            coalesce(to_jsonb(s) ->> 'wal_status', '') = 'lost' AS lost
       FROM pg_replication_slots s WHERE slot_name = $1 AND database = current_database()`,
    [slot],
  );
  return rows[0];
}

/** @throws TaskFailure FATAL_ERROR where the slot is gone, or the server has removed the log it needs: nothing can mend that */
export async function requireSlot(spec: TaskSpec, slot: string): Promise<SlotFacts> {
  const found = await withSession(spec.source, 'source', spec.id, (client) => findSlot(client, slot));
  if (found === undefined) {
    throw new TaskFailure(
      'FATAL_ERROR',
      `replication slot "${slot}" does not exist; the task must be reloaded (reload-target)`,
    );
  }
  if (found.lost) {
    throw new TaskFailure(
      'FATAL_ERROR',
      `can no longer get changes from replication slot "${slot}": its write-ahead log was removed (wal_status lost)`,
    );
  }
  return found;
}

/** A slot that is not there is fine. A session that holds it (an engine that was killed) is waited for, some seconds. */
export async function dropSlot(spec: TaskSpec, slot: string): Promise<void> {
  const patience = Date.now() + PATIENCE_MS;
  await withSession(spec.source, 'source', spec.id, async (client) => {
    for (;;) {
      try {
        await client.query('SELECT pg_drop_replication_slot($1)', [slot]);
        return;
      } catch (error) {
        if (sqlState(error) === UNDEFINED) return;
        if (sqlState(error) !== ACTIVE || Date.now() > patience) throw error;
        await delay(200);
      }
    }
  });
}
