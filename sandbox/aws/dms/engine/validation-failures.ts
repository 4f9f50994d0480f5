/** awsdms_validation_failures_v1 on the target. */
import type pg from 'pg';
import type { Run } from './run.ts';
import type { TableState } from './state.ts';
import type { TablePlan } from './table-plan.ts';
import type { FailureType } from './validated-table.ts';
import type { Key } from './validation-sql.ts';

const TABLE = 'awsdms_validation_failures_v1';

function keyJson(plan: { key: readonly { name: string }[] }, key: Key): string {
  return JSON.stringify(Object.fromEntries(plan.key.map(({ name }, index) => [name, key[index] ?? null]))).slice(
    0,
    7_800,
  );
}

export async function recordFailure(
  run: Run,
  client: pg.Client,
  { table }: TableState,
  plan: TablePlan,
  key: Key,
  type: FailureType,
): Promise<void> {
  const text = keyJson(plan, key);
  const id = [run.spec.id.slice(0, 128), table.schema, table.name];
  const name = run.control.name(TABLE);
  await client.query(
    `DELETE FROM ${name} WHERE "TASK_NAME" = $1 AND "TABLE_OWNER" = $2 AND "TABLE_NAME" = $3 AND "KEY" = $4`,
    [...id, text],
  );
  await client.query(`INSERT INTO ${name} VALUES ($1, $2, $3, (now() AT TIME ZONE 'UTC'), 'Row', $4, $5, '[]')`, [
    ...id,
    text,
    type,
  ]);
}

/** Of the whole table, or of the row with that key. */
export async function forgetFailures(run: Run, client: pg.Client, { table }: TableState, key?: Key): Promise<void> {
  const id = [run.spec.id.slice(0, 128), table.schema, table.name];
  const text = key === undefined ? null : keyJson({ key: table.key.map((name) => ({ name })) }, key);
  await client.query(
    `DELETE FROM ${run.control.name(TABLE)}
      WHERE "TASK_NAME" = $1 AND "TABLE_OWNER" = $2 AND "TABLE_NAME" = $3 AND ($4::text IS NULL OR "KEY" = $4)`,
    [...id, text],
  );
}
