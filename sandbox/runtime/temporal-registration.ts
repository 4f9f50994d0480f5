import { setTimeout as delay } from 'node:timers/promises';
import { Connection } from '@temporalio/client';

/** The types that the CLI's --search-attribute knows, with their numbers on the wire (temporal.api.enums.v1.IndexedValueType). */
const TYPE_NUMBERS = { Text: 1, Keyword: 2, Int: 3, Double: 4, Bool: 5, Datetime: 6, KeywordList: 7 } as const;
export type SearchAttributeTypeName = keyof typeof TYPE_NUMBERS;

/** grpc.health.v1.HealthCheckResponse.ServingStatus */
const SERVING: number = 1;
const LIMIT_MS = 60_000;
const ONE_CALL_MS = 5_000;

interface Wanted {
  address: string;
  namespace: string;
  searchAttributes: Readonly<Record<string, SearchAttributeTypeName>>;
}

/**
 * Waits until the server says SERVING and the namespace answers, then adds what the namespace lacks.
 *
 * WHY: `server start-dev --search-attribute` is heeded only when it makes the database (tried with CLI 1.5.1: on a kept one a
 * new attribute is dropped, and another type is ignored, without a word). A sandbox kept over an upgrade would then start no workflow.
 * @throws Error when the server does not answer in a minute, or an attribute is there with another type.
 */
export async function registerMissing(wanted: Wanted): Promise<void> {
  const connection = Connection.lazy({ address: wanted.address });
  try {
    await untilServing(connection, wanted);
    const known = await customAttributes(connection, wanted.namespace);
    const missing: Record<string, number> = {};
    for (const [name, type] of Object.entries(wanted.searchAttributes)) {
      const found = known[name];
      if (found === undefined) missing[name] = TYPE_NUMBERS[type];
      else if (found !== TYPE_NUMBERS[type]) throw anotherType(wanted, name, type, found);
    }
    if (Object.keys(missing).length === 0) return;
    await call(connection, () =>
      connection.operatorService.addSearchAttributes({ namespace: wanted.namespace, searchAttributes: missing }),
    );
    await until(`search attributes ${Object.keys(missing).join(', ')} on ${wanted.address}`, async () => {
      const now = await customAttributes(connection, wanted.namespace);
      return Object.keys(missing).every((name) => now[name] !== undefined);
    });
  } finally {
    await connection.close();
  }
}

async function untilServing(connection: Connection, wanted: Wanted): Promise<void> {
  await until(`Temporal at ${wanted.address}, namespace ${wanted.namespace}`, async () => {
    const health = await call(connection, () =>
      connection.healthService.check({ service: 'temporal.api.workflowservice.v1.WorkflowService' }),
    );
    const status: number = health.status;
    if (status !== SERVING) return false;
    await call(connection, () => connection.workflowService.describeNamespace({ namespace: wanted.namespace }));
    return true;
  });
}

async function customAttributes(connection: Connection, namespace: string): Promise<Record<string, number>> {
  const listed = await call(connection, () => connection.operatorService.listSearchAttributes({ namespace }));
  return listed.customAttributes;
}

function call<T>(connection: Connection, fn: () => Promise<T>): Promise<T> {
  return connection.withDeadline(Date.now() + ONE_CALL_MS, fn);
}

async function until(what: string, check: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + LIMIT_MS;
  let last: unknown;
  for (;;) {
    try {
      if (await check()) return;
    } catch (error) {
      last = error;
    }
    if (Date.now() >= deadline) {
      throw new Error(`${what}: no answer in ${LIMIT_MS / 1000} s${last instanceof Error ? `: ${last.message}` : ''}`, {
        cause: last,
      });
    }
    await delay(25);
  }
}

function anotherType(wanted: Wanted, name: string, type: SearchAttributeTypeName, found: number): Error {
  const is = Object.entries(TYPE_NUMBERS).find(([, number]) => number === found)?.[0] ?? `type ${found}`;
  return new Error(
    `Temporal at ${wanted.address}: search attribute ${name} is ${is} in the kept database, ${type} is wanted. ` +
      `A type can't be changed: start with an empty folder.`,
  );
}
