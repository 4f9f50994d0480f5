/** How the sandbox is furnished by the ordinary AWS SDK: what is there already stays, and what is made is waited for. */
import { setTimeout as delay } from 'node:timers/promises';

const LIMIT_MS = 120_000;
const PAUSE_MS = 100;

/** Of any client of the SDK, whatever the environment of this process says. */
export function clientSettings({ url, region }: { url: string; region: string }) {
  return { endpoint: url, region, credentials: { accessKeyId: 'sandbox', secretAccessKey: 'sandbox' } };
}

/** @returns undefined where the service answers with `code`: it is there already. @throws every other error of `make` */
export async function unlessThere<T>(code: string, make: () => Promise<T>): Promise<T | undefined> {
  try {
    return await make();
  } catch (error) {
    if (error instanceof Error && error.name === code) return undefined;
    throw error;
  }
}

/** Asks until there is an answer. @throws Error after two minutes; what `probe` throws */
export async function until<T>(what: string, probe: () => Promise<T | undefined>): Promise<T> {
  const deadline = Date.now() + LIMIT_MS;
  for (;;) {
    const found = await probe();
    if (found !== undefined) return found;
    if (Date.now() > deadline) throw new Error(`${what} is not available after ${LIMIT_MS / 1000} s`);
    await delay(PAUSE_MS);
  }
}
