/** TestConnection: connects for real. */
import type { TestConnection } from './contract.ts';
import { withSession } from './sessions.ts';

/** Connects as the task would, and runs one statement. The failure is the server's own words, in DMS's frame. */
export const testConnection: TestConnection = async (endpoint, type) => {
  try {
    await withSession(endpoint, type, 'connection-test', (client) => client.query('SELECT version()'));
    return { ok: true };
  } catch (error) {
    return { ok: false, message: framed(error) };
  }
};

function framed(error: unknown): string {
  const own = error instanceof AggregateError ? (error.errors as unknown[])[0] : error;
  const said = own instanceof Error ? own.message : String(own);
  const code = own instanceof Error && 'code' in own ? String(own.code) : 'unknown';
  return (
    `Test Endpoint failed: Application-Status: 1020912, Application-Message: Failed to connect ` +
    `Network error has occurred, Application-Detailed-Message: RetCode: SQL_ERROR SqlState: ${code} NativeError: 101 Message: ${said}`
  );
}
