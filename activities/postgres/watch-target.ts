/** The soak: the target answers, and the application's roles may log in, until the time is over. */
import { ErrorType } from '../../spec/errors.ts';
import type { Postgres } from '../../spec/kind-postgres.ts';
import { permanent } from '../errors.ts';
import { waitUntil } from '../wait-until.ts';
import { sessionName, withPostgres } from './connect.ts';
import { readLogins } from './fence-record.ts';

const INTERVAL_MS = 5_000;
/** A failover takes a minute or two: only what lasts is worth an operator's night. */
const FAILURES = 30;

interface Reading {
  ms: number;
  fault?: string;
}

/**
 * Changes nothing; can run any number of times. `until` is epoch ms.
 * @throws cutover.ServiceFailed where the target does not answer for 30 readings in a row, or a role may not log in
 */
export async function watchPostgresTarget(input: { migration: Postgres; until: number }): Promise<void> {
  const { migration, until } = input;
  let failures = 0;
  await waitUntil({
    intervalMs: Math.max(50, Math.min(INTERVAL_MS, until - Date.now())),
    read: async () => {
      const reading = await look(migration);
      failures = reading.fault === undefined ? 0 : failures + 1;
      if (failures >= FAILURES || (reading.fault !== undefined && Date.now() >= until)) {
        throw permanent(ErrorType.serviceFailed, `the target does not serve the application: ${reading.fault}`);
      }
      return reading;
    },
    done: ({ fault }) => fault === undefined && Date.now() >= until,
    progress: ({ ms, fault }) => ({
      text: fault ?? `the target answers in ${ms} ms`,
      etaMs: Math.max(0, until - Date.now()),
    }),
  });
}

async function look(migration: Postgres): Promise<Reading> {
  const began = performance.now();
  const options = { name: sessionName(migration.id, 'watch'), statementTimeoutMs: 10_000 };
  try {
    const logins = await withPostgres(migration.target, options, (client) =>
      readLogins(client, migration.cutover.applicationRoles),
    );
    const ms = Math.round(performance.now() - began);
    const shut = [...logins].filter(([, login]) => !login).map(([role]) => role);
    return { ms, ...(shut.length > 0 ? { fault: `${shut.join(', ')} may not log in` } : {}) };
  } catch (error) {
    if (error instanceof Error && error.name === 'CancelledFailure') throw error;
    return { ms: 0, fault: error instanceof Error ? error.message : String(error) };
  }
}
