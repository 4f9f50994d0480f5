import { withClient, type PgEndpoint } from '../app/redash/endpoint.ts';
import { failureOf } from '../app/redash/failure.ts';

/** What a server answers to somebody who logs in and writes: `takes writes`, or the kind of refusal (failure.ts). Leaves nothing behind. */
export async function whatLogsIn(endpoint: PgEndpoint): Promise<string> {
  try {
    return await withClient(endpoint, 'demo:probe', async (client) => {
      await client.query('BEGIN');
      await client.query('DELETE FROM favorites WHERE id = -1');
      await client.query('ROLLBACK');
      return 'takes writes';
    });
  } catch (error) {
    return failureOf(error).kind;
  }
}
