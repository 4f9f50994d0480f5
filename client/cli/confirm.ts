/** Asks before what can't be taken back. */
import { createInterface } from 'node:readline/promises';

/**
 * True where the operator says yes, or said it before (`--yes`).
 * @throws WrongUsage where there is nobody to ask: a script, a pipe or a CI job must not go ahead because it can't answer
 */
export async function confirm(question: string, yes: boolean | undefined): Promise<boolean> {
  if (yes) return true;
  if (!process.stdin.isTTY) {
    const { WrongUsage } = await import('../errors.ts');
    throw new WrongUsage(`nobody is at a terminal to answer: ${question}`, {
      mend: 'nothing was changed; where the answer is yes, say --yes',
    });
  }
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return /^y(es)?$/i.test((await terminal.question(`${question} [y/N] `)).trim());
  } catch {
    return false; // Ctrl-C or Ctrl-D
  } finally {
    terminal.close();
  }
}
