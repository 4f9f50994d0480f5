/**
 * What DMS itself writes down on the target: rows that it could not apply, tables that it suspended, rows that differ.
 * Found by their names in whatever schema the settings have put them, and read without regard to their columns' case.
 */
import { escapeIdentifier, type ClientBase } from 'pg';
import type { TablePlan } from '../../spec/postgres-plan.ts';
import { tableText } from '../../spec/postgres-plan.ts';

export type ControlKind = 'exceptions' | 'suspended' | 'validation';

export interface ControlRow {
  kind: ControlKind;
  /** As a message has it; absent where DMS did not say. */
  table?: string;
  /** Epoch ms, by the replication instance's clock; absent where DMS did not say. */
  at?: number;
  text: string;
}

const KINDS: Readonly<Record<string, ControlKind>> = {
  awsdms_apply_exceptions: 'exceptions',
  awsdms_suspended_tables: 'suspended',
  awsdms_validation_failures_v1: 'validation',
};
/** Enough to show, and to know that there are any. */
const ROWS = 500;
const TEXT = 300;

/**
 * The rows of this task, and those about a table of the plan whoever wrote them: to overlook one would be to lose it.
 * @param taskNames what DMS may call the task in there: its identifier, its resource id
 */
export async function readControlTables(
  target: ClientBase,
  plan: TablePlan,
  taskNames: string[],
): Promise<ControlRow[]> {
  const { rows: tables } = await target.query<{ schema: string; name: string }>(
    `SELECT n.nspname AS schema, c.relname AS name
       FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
      WHERE c.relkind = 'r' AND lower(c.relname) = ANY($1) AND has_table_privilege(c.oid, 'SELECT')`,
    [Object.keys(KINDS)],
  );
  const planned = new Set(
    plan.tables.filter(({ treatment }) => treatment === 'replicated').map((table) => tableText(table)),
  );
  const ours = new Set(taskNames.map((name) => name.toLowerCase()));
  const found: ControlRow[] = [];
  for (const { schema, name } of tables) {
    const from = `${escapeIdentifier(schema)}.${escapeIdentifier(name)}`;
    const { rows } = await target.query<{ row: Record<string, unknown> }>(
      `SELECT to_jsonb(t) AS row FROM ${from} t LIMIT ${ROWS}`,
    );
    for (const { row } of rows) {
      const read = controlRow(KINDS[name.toLowerCase()] ?? 'exceptions', row);
      if (ours.has(read.task) || (read.table !== undefined && planned.has(read.table))) found.push(read.row);
    }
  }
  return found;
}

function controlRow(
  kind: ControlKind,
  raw: Record<string, unknown>,
): { task: string; table: string | undefined; row: ControlRow } {
  const fields = new Map(Object.entries(raw).map(([key, value]) => [key.toLowerCase(), asText(value)]));
  const schema = fields.get('table_owner');
  const name = fields.get('table_name');
  const table = schema && name ? tableText({ schema, name }) : undefined;
  const time = fields.get('error_time') ?? fields.get('suspend_timestamp') ?? fields.get('failure_time');
  const at = time === undefined ? Number.NaN : Date.parse(/Z|[+-]\d\d(:?\d\d)?$/.test(time) ? time : `${time}Z`);
  const said =
    kind === 'exceptions'
      ? fields.get('error')
      : kind === 'suspended'
        ? fields.get('suspend_reason')
        : [fields.get('failure_type'), fields.get('key'), fields.get('details')].filter(Boolean).join(' ');
  return {
    task: (fields.get('task_name') ?? '').toLowerCase(),
    table,
    row: {
      kind,
      ...(table === undefined ? {} : { table }),
      ...(Number.isNaN(at) ? {} : { at }),
      text: (said || 'no reason given').replaceAll(/\s+/g, ' ').slice(0, TEXT),
    },
  };
}

function asText(value: unknown): string | undefined {
  if (value === null || value === undefined) return undefined;
  return typeof value === 'string' ? value : JSON.stringify(value);
}
