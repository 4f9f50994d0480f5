/** A transaction of the application, and what it leaves in each row. */
import type { ClientBase } from 'pg';
import { contentOf, type MarkedTableName } from './marks.ts';
import type { Effect } from './record.ts';

/** A row that must be there is not: on the target that is a lost row, met by the application itself. */
export class RowMissing extends Error {
  override readonly name = 'RowMissing';
}

/** One transaction under way: its statements, and what they will have left once it is committed. */
export class Transaction {
  readonly effects: Effect[] = [];
  readonly mark: string;
  readonly #client: ClientBase;

  constructor(client: ClientBase, mark: string) {
    this.#client = client;
    this.mark = mark;
  }

  content(table: MarkedTableName): string {
    return contentOf(table, this.mark);
  }

  /** @returns the new row's id, given by its sequence */
  async insert(table: MarkedTableName, values: Record<string, unknown>, shows = this.mark): Promise<number> {
    const columns = Object.keys(values);
    const { rows } = await this.#client.query<{ id: string | number }>(
      `INSERT INTO ${table} (${columns.join(', ')}) VALUES (${columns.map((_, i) => `$${i + 1}`).join(', ')}) RETURNING id`,
      Object.values(values),
    );
    const id = Number(rows[0]!.id);
    this.effects.push([table, id, shows]);
    return id;
  }

  /** @param set SQL; $1 is the id, $2 and on are `values` */
  async update(table: MarkedTableName, id: number, set: string, values: unknown[]): Promise<void> {
    const { rowCount } = await this.#client.query(`UPDATE ${table} SET ${set} WHERE id = $1`, [id, ...values]);
    if (rowCount !== 1) throw new RowMissing(`${table} ${id}, which this client wrote or was given, is not there`);
    this.effects.push([table, id, this.mark]);
  }

  async delete(table: MarkedTableName, id: number): Promise<void> {
    const { rowCount } = await this.#client.query(`DELETE FROM ${table} WHERE id = $1`, [id]);
    if (rowCount !== 1) throw new RowMissing(`${table} ${id}, which this client wrote or was given, is not there`);
    this.effects.push([table, id, null]);
  }
}
