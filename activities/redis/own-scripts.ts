/**
 * The scripts that we run on servers, by their names there. A server that is asked which scripts it has run counts ours with
 * the application's; these are taken off.
 */
import { createHash } from 'node:crypto';

export interface OwnScript {
  text: string;
  /** What EVALSHA and SCRIPT EXISTS know it by. */
  sha: string;
}

const shas = new Set<string>();

/** To be called once for each, where the module is loaded. */
export function ownScript(text: string): OwnScript {
  const sha = createHash('sha1').update(text).digest('hex');
  shas.add(sha);
  return { text, sha };
}

export const ownShas = (): string[] => [...shas];
