/** The search attributes have to be known to the server before the first workflow: it would retry its first task for ever. */
import type { NativeConnection } from '@temporalio/worker';
import { SearchAttributes } from '../spec/contract.ts';

// Values of temporal.api.enums.v1.IndexedValueType.
const INDEXED = { KEYWORD: 2, BOOL: 5 } as const;

/**
 * Registers what is missing.
 * @throws Error with the command that an administrator runs, where the worker may not do it itself (Temporal Cloud)
 */
export async function registerSearchAttributes(connection: NativeConnection, namespace: string): Promise<string[]> {
  const wanted = Object.values(SearchAttributes);
  const missing = async () => {
    const known = await connection.operatorService.listSearchAttributes({ namespace });
    return wanted.filter(({ name }) => !(name in (known.customAttributes ?? {})));
  };
  let absent: typeof wanted;
  try {
    absent = await missing();
    if (absent.length === 0) return [];
    const searchAttributes = Object.fromEntries(absent.map(({ name, type }) => [name, INDEXED[type]]));
    await connection.operatorService.addSearchAttributes({ namespace, searchAttributes });
  } catch (error) {
    // Two workers that start together both find them missing, and one is told that they exist.
    if ((await missing().catch(() => wanted)).length === 0) return [];
    const flags = wanted
      .map(({ name, type }) => `--name ${name} --type ${type === 'BOOL' ? 'Bool' : 'Keyword'}`)
      .join(' ');
    const text = error instanceof Error ? error.message : String(error);
    throw new Error(
      `the search attributes of cutover are not registered in namespace ${namespace}, and this worker may not do it (${text}).\n` +
        `Run: temporal operator search-attribute create --namespace ${namespace} ${flags}`,
      { cause: error },
    );
  }
  await untilUsable(connection, namespace);
  return absent.map(({ name }) => name);
}

const USABLE_WITHIN_MS = 60_000;

/**
 * A server takes a few seconds until it knows attributes that were just registered, and refuses every start that uses
 * one until then ("no mapping defined for search attribute"). A worker is not ready before.
 */
async function untilUsable(connection: NativeConnection, namespace: string): Promise<void> {
  const query = `${SearchAttributes.kind.name} = '' OR ${SearchAttributes.phase.name} = '' OR ${SearchAttributes.step.name} = '' OR ${SearchAttributes.needsOperator.name} = true`;
  const deadline = Date.now() + USABLE_WITHIN_MS;
  for (;;) {
    try {
      await connection.workflowService.countWorkflowExecutions({ namespace, query });
      return;
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, 250));
    }
  }
}
