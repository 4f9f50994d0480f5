/** DMS's own tables on the target: exceptions always, the others where the settings ask for them. */
import type pg from 'pg';
import type { TaskSpec } from './contract.ts';
import { withSession } from './sessions.ts';
import type { TableState, TaskState } from './state.ts';
import { qualified } from './table-plan.ts';
import type { TaskSettings } from './task-settings.ts';

const TABLES: Record<string, string> = {
  awsdms_apply_exceptions: `"TASK_NAME" varchar(128) NOT NULL, "TABLE_OWNER" varchar(128) NOT NULL,
    "TABLE_NAME" varchar(128) NOT NULL, "ERROR_TIME" timestamp NOT NULL, "STATEMENT" text NOT NULL, "ERROR" text NOT NULL`,
  awsdms_status: `server_name varchar(128) NOT NULL, task_name varchar(128) NOT NULL, task_status varchar(32),
    status_time timestamp, pending_changes int8, disk_swap_size int8, task_memory int8, source_current_position varchar(128),
    source_current_timestamp timestamp, source_tail_position varchar(128), source_tail_timestamp timestamp,
    source_timestamp_applied timestamp, PRIMARY KEY (server_name, task_name)`,
  awsdms_suspended_tables: `server_name varchar(128) NOT NULL, task_name varchar(128) NOT NULL,
    table_owner varchar(128) NOT NULL, table_name varchar(128) NOT NULL, suspend_reason varchar(32),
    suspend_timestamp timestamp, PRIMARY KEY (server_name, task_name, table_owner, table_name)`,
  awsdms_history: `server_name varchar(128) NOT NULL, task_name varchar(128) NOT NULL, timeslot_type varchar(32) NOT NULL,
    timeslot timestamp NOT NULL, timeslot_duration int8, timeslot_latency int8, timeslot_records int8, timeslot_volume int8,
    PRIMARY KEY (server_name, task_name, timeslot_type, timeslot)`,
  awsdms_txn_state: `task_id varchar(255) PRIMARY KEY, checkpoint text NOT NULL, updated_at timestamptz NOT NULL`,
  awsdms_validation_failures_v1: `"TASK_NAME" varchar(128) NOT NULL, "TABLE_OWNER" varchar(128) NOT NULL,
    "TABLE_NAME" varchar(128) NOT NULL, "FAILURE_TIME" timestamp NOT NULL, "KEY_TYPE" varchar(128) NOT NULL,
    "KEY" varchar(7800) NOT NULL, "FAILURE_TYPE" varchar(128) NOT NULL, "DETAILS" varchar(7800) NOT NULL`,
};

const SERVER = 'localhost.localdomain'; // What AWS's own instances write there.

export class ControlTables {
  private readonly spec: TaskSpec;
  private readonly settings: TaskSettings;

  constructor(spec: TaskSpec, settings: TaskSettings) {
    this.spec = spec;
    this.settings = settings;
  }

  /** Quoted; DMS puts the table of failed validations in awsdms_control unless it is told otherwise. */
  name(table: string): string {
    const own = table === 'awsdms_validation_failures_v1' ? 'awsdms_control' : 'public';
    return qualified(this.settings.controlSchema === '' ? own : this.settings.controlSchema, table);
  }

  /** Makes those that are wanted. Twice is the same as once. */
  async make(client: pg.Client): Promise<void> {
    const { settings } = this;
    const wanted = [
      'awsdms_apply_exceptions',
      ...(settings.statusTable ? ['awsdms_status'] : []),
      ...(settings.suspendedTable ? ['awsdms_suspended_tables'] : []),
      ...(settings.historyTable ? ['awsdms_history'] : []),
      ...(settings.recoveryTable ? ['awsdms_txn_state'] : []),
      ...(settings.validation ? ['awsdms_validation_failures_v1'] : []),
    ];
    for (const table of wanted) {
      const name = this.name(table);
      const schema = name.slice(0, name.lastIndexOf('.'));
      // Asked first: IF NOT EXISTS wants the right to create, also where there is nothing to be created.
      const { rows } = await client.query<{ there: boolean }>('SELECT to_regclass($1) IS NOT NULL AS there', [name]);
      if (rows[0]?.there === true) continue;
      const { rowCount } = await client.query(
        'SELECT FROM pg_namespace WHERE quote_ident(nspname) = $1 OR nspname = $1',
        [schema.replace(/^"(.*)"$/s, '$1').replaceAll('""', '"')],
      );
      if (rowCount === 0) await client.query(`CREATE SCHEMA IF NOT EXISTS ${schema}`);
      await client.query(`CREATE TABLE IF NOT EXISTS ${name} (${TABLES[table] ?? ''})`);
    }
  }

  /** The row is lost; this is what tells of it. In the caller's transaction. */
  async exception(client: pg.Client, table: TableState, statement: string, error: string): Promise<void> {
    await client.query(
      `INSERT INTO ${this.name('awsdms_apply_exceptions')} VALUES ($1, $2, $3, (clock_timestamp() AT TIME ZONE 'UTC'), $4, $5)`,
      [this.spec.id.slice(0, 128), table.table.schema, table.table.name, statement.slice(0, 4_000), error],
    );
  }

  async suspended(table: TableState, why: string): Promise<void> {
    if (!this.settings.suspendedTable) return;
    await withSession(this.spec.target, 'target', this.spec.id, (client) =>
      client.query(
        `INSERT INTO ${this.name('awsdms_suspended_tables')} VALUES ($1, $2, $3, $4, $5, (now() AT TIME ZONE 'UTC'))
         ON CONFLICT (server_name, task_name, table_owner, table_name)
         DO UPDATE SET suspend_reason = excluded.suspend_reason, suspend_timestamp = excluded.suspend_timestamp`,
        [SERVER, this.spec.id, table.table.schema, table.table.name, why.slice(0, 32)],
      ),
    );
  }

  async resumed(client: pg.Client, table: TableState): Promise<void> {
    if (!this.settings.suspendedTable) return;
    await client.query(
      `DELETE FROM ${this.name('awsdms_suspended_tables')} WHERE task_name = $1 AND table_owner = $2 AND table_name = $3`,
      [this.spec.id, table.table.schema, table.table.name],
    );
  }

  /** In the transaction that it speaks of. */
  async checkpoint(client: pg.Client, position: string): Promise<void> {
    await client.query(
      `INSERT INTO ${this.name('awsdms_txn_state')} VALUES ($1, $2, now())
       ON CONFLICT (task_id) DO UPDATE SET checkpoint = excluded.checkpoint, updated_at = excluded.updated_at`,
      [this.spec.resourceId, `checkpoint:V1#0#${position}#0#0#*#0#0`],
    );
  }

  /** awsdms_status, as often as the caller likes. */
  async status(client: pg.Client, state: TaskState, pending: number): Promise<void> {
    if (!this.settings.statusTable) return;
    const phase = state.phase === 'load' ? 'FULL LOAD' : 'CHANGE PROCESSING';
    await client.query(
      `INSERT INTO ${this.name('awsdms_status')} (server_name, task_name, task_status, status_time, pending_changes, source_current_position, source_tail_position)
       VALUES ($1, $2, $3, (now() AT TIME ZONE 'UTC'), $4, $5, $5)
       ON CONFLICT (server_name, task_name) DO UPDATE SET task_status = excluded.task_status, status_time = excluded.status_time,
         pending_changes = excluded.pending_changes, source_current_position = excluded.source_current_position,
         source_tail_position = excluded.source_tail_position`,
      [SERVER, this.spec.id, phase, pending, state.position],
    );
  }

  async history(client: pg.Client, slotStart: number, durationMs: number, records: number): Promise<void> {
    if (!this.settings.historyTable) return;
    await client.query(
      `INSERT INTO ${this.name('awsdms_history')} VALUES ($1, $2, 'CHANGE PROCESSING', (to_timestamp($3::float8 / 1000) AT TIME ZONE 'UTC'), $4, 0, $5, 0)
       ON CONFLICT (server_name, task_name, timeslot_type, timeslot) DO UPDATE SET timeslot_records = excluded.timeslot_records`,
      [SERVER, this.spec.id, slotStart, Math.round(durationMs / 60_000), records],
    );
  }
}
