/** BEGIN and COMMIT around a piece of work; ROLLBACK where it fails. */
import type pg from 'pg';

export async function inTransaction<T>(client: pg.ClientBase, body: () => Promise<T>, begin = 'BEGIN'): Promise<T> {
  await client.query(begin);
  try {
    const value = await body();
    await client.query('COMMIT');
    return value;
  } catch (error) {
    // A lost connection has rolled back by itself; its own error is the one to tell.
    await client.query('ROLLBACK').catch(() => {});
    throw error;
  }
}
