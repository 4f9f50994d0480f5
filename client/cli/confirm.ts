/** Asks before what can't be taken back. */
import { createInterface } from 'node:readline/promises';

/** True where the operator says yes, said it before (`--yes`), or there is nobody to ask: a script knows what it does. */
export async function confirm(question: string, yes: boolean | undefined): Promise<boolean> {
  if (yes || !process.stdin.isTTY) return true;
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return /^y(es)?$/i.test((await terminal.question(`${question} [y/N] `)).trim());
  } catch {
    return false; // Ctrl-C or Ctrl-D
  } finally {
    terminal.close();
  }
}
