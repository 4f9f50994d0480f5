/** What DMS may leave on the two servers: a slot that makes the source keep its WAL, and tables of its own. */
import { sleep } from '@temporalio/activity';
import { ApplicationFailure } from '@temporalio/common';
import { escapeIdentifier, type ClientBase } from 'pg';
import { CONTROL_SCHEMA } from '../../spec/dms-task-settings.ts';
import type { Postgres } from '../../spec/kind-postgres.ts';
import { OWN_SCHEMA } from '../../spec/postgres-plan.ts';
import { sessionName, whereIs, withPostgres } from '../postgres/connect.ts';
import { readSlots } from '../postgres/slots.ts';
import { awaitDms } from './await-dms.ts';
import { dmsNames, resourceIdOf } from './resources.ts';
import { isSlotOf } from './slot.ts';

export interface CleanUpResult {
  /** By name. */
  deleted: string[];
  /** What stays, with the reason or the way to remove it. */
  leftovers: string[];
}

/** DMS drops the slot itself when its task is deleted; it gets so long for it, ms. */
const DMS_DROPS_WITHIN_MS = 60_000;
const LOOK_MS = 1_000;
/** How long a server may be away before what is left on it is named instead, ms. */
const AWAY_MS = 60_000;

/**
 * Drops the task's slot once nobody uses it, the heartbeat's table, and DMS's control tables where no other task has rows
 * in them. What can't be dropped, or a server that is gone for good, is named in the leftovers with the SQL for it.
 */
export async function cleanUpDatabases(migration: Postgres, taskArn: string | undefined): Promise<CleanUpResult> {
  const source = await orLeftover(
    migration,
    'source',
    `its slot (pg_replication_slots) and ${OWN_SCHEMA}.awsdms_*`,
    () => cleanUpSource(migration, taskArn),
  );
  const target = await orLeftover(migration, 'target', `the schema ${CONTROL_SCHEMA}`, () =>
    cleanUpTarget(migration, taskArn),
  );
  return {
    deleted: [...source.deleted, ...target.deleted],
    leftovers: [...source.leftovers, ...target.leftovers],
  };
}

async function orLeftover(
  migration: Postgres,
  side: 'source' | 'target',
  what: string,
  run: () => Promise<CleanUpResult>,
): Promise<CleanUpResult> {
  const until = performance.now() + AWAY_MS;
  for (;;) {
    try {
      return await run();
    } catch (error) {
      if (!(error instanceof ApplicationFailure)) throw error;
      // A server that restarts is back in a moment; a slot that is left fills the source's disk.
      if (!error.nonRetryable && performance.now() < until) {
        await sleep(LOOK_MS);
        continue;
      }
      return { deleted: [], leftovers: [`${side} ${whereIs(migration[side])}: ${what}: ${error.message}`] };
    }
  }
}

async function cleanUpSource(migration: Postgres, taskArn: string | undefined): Promise<CleanUpResult> {
  const result: CleanUpResult = { deleted: [], leftovers: [] };
  const options = { name: sessionName(migration.id, 'clean-up'), aws: migration.aws };
  await withPostgres(migration.source, options, async (client) => {
    const ours = async () =>
      taskArn === undefined ? [] : (await readSlots(client)).filter(({ name }) => isSlotOf(taskArn, name));
    const deadline = performance.now() + DMS_DROPS_WITHIN_MS;
    let slots = await ours();
    if (slots.some(({ active }) => active)) {
      slots = await awaitDms({
        what: 'the replication slot',
        timeoutMs: DMS_DROPS_WITHIN_MS * 2,
        intervalMs: LOOK_MS,
        read: ours,
        state: (left) => (left.length > 0 ? 'in use still' : 'gone'),
        done: (left) => !left.some(({ active }) => active) || performance.now() > deadline,
      });
    }
    for (const { name, active } of slots) {
      if (active) {
        result.leftovers.push(
          `slot ${name} on the source is in use; the source keeps its WAL: SELECT pg_drop_replication_slot('${name}')`,
        );
        continue;
      }
      await client.query('SELECT pg_drop_replication_slot($1)', [name]);
      result.deleted.push(`slot ${name}`);
    }
    result.deleted.push(...(await dropTables(client, OWN_SCHEMA, /^awsdms_/)));
  });
  return result;
}

async function cleanUpTarget(migration: Postgres, taskArn: string | undefined): Promise<CleanUpResult> {
  const result: CleanUpResult = { deleted: [], leftovers: [] };
  const options = { name: sessionName(migration.id, 'clean-up'), aws: migration.aws };
  await withPostgres(migration.target, options, async (client) => {
    const others = await otherTasks(client, [
      dmsNames(migration.id).task,
      ...(taskArn === undefined ? [] : [resourceIdOf(taskArn)]),
    ]);
    if (others.length > 0) {
      result.leftovers.push(`${CONTROL_SCHEMA} on the target: other DMS tasks (${others.join(', ')}) have rows in it`);
      return;
    }
    result.deleted.push(...(await dropTables(client, CONTROL_SCHEMA, /^awsdms_/)));
    const { rows } = await client.query<{ empty: boolean }>(
      `SELECT NOT EXISTS (SELECT 1 FROM pg_catalog.pg_class c WHERE c.relnamespace = n.oid) AS empty
         FROM pg_catalog.pg_namespace n WHERE n.nspname = $1`,
      [CONTROL_SCHEMA],
    );
    if (rows[0]?.empty === true) {
      await client.query(`DROP SCHEMA IF EXISTS ${escapeIdentifier(CONTROL_SCHEMA)} RESTRICT`);
      result.deleted.push(`schema ${CONTROL_SCHEMA} on the target`);
    } else if (rows[0])
      result.leftovers.push(`schema ${CONTROL_SCHEMA} on the target holds more than DMS's own tables`);
    result.leftovers.push(...(await elsewhere(client)));
  });
  return result;
}

/** Names of tasks in DMS's control tables that are not this one; rows that name none count as another's. */
async function otherTasks(client: ClientBase, ours: string[]): Promise<string[]> {
  const own = new Set(ours.map((name) => name.toLowerCase()));
  const found = new Set<string>();
  for (const name of await tablesOf(client, CONTROL_SCHEMA, /^awsdms_/)) {
    const from = `${escapeIdentifier(CONTROL_SCHEMA)}.${escapeIdentifier(name)}`;
    const { rows } = await client.query<{ task: string | null }>(
      `SELECT DISTINCT (SELECT value FROM pg_catalog.jsonb_each_text(to_jsonb(t))
                         WHERE lower(key) IN ('task_name', 'task_id') LIMIT 1) AS task
         FROM ${from} t LIMIT 100`,
    );
    for (const { task } of rows) if (!own.has((task ?? '').toLowerCase())) found.add(task ?? `unknown, in ${name}`);
  }
  return [...found];
}

/** DMS's tables where a file's own settings have put them; whose they are can't be told, so they are only named. */
async function elsewhere(client: ClientBase): Promise<string[]> {
  const { rows } = await client.query<{ name: string }>(
    `SELECT format('%I.%I', n.nspname, c.relname) AS name
       FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
      WHERE c.relkind = 'r' AND c.relname LIKE 'awsdms\\_%' AND n.nspname <> ALL($1) ORDER BY 1`,
    [[CONTROL_SCHEMA, OWN_SCHEMA]],
  );
  return rows.map(({ name }) => `${name} on the target, of DMS: DROP TABLE ${name}`);
}

async function tablesOf(client: ClientBase, schema: string, names: RegExp): Promise<string[]> {
  const { rows } = await client.query<{ name: string }>(
    `SELECT c.relname AS name FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
      WHERE c.relkind = 'r' AND n.nspname = $1 ORDER BY 1`,
    [schema],
  );
  return rows.map(({ name }) => name).filter((name) => names.test(name));
}

async function dropTables(client: ClientBase, schema: string, names: RegExp): Promise<string[]> {
  const tables = await tablesOf(client, schema, names);
  for (const name of tables) {
    await client.query(`DROP TABLE IF EXISTS ${escapeIdentifier(schema)}.${escapeIdentifier(name)}`);
  }
  return tables.map((name) => `${schema}.${name}`);
}
