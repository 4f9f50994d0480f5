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

/**
 * Every text that a release of ours ever ran: a server keeps scripts until its restart, so it has those of the cutover before
 * an upgrade beside today's. Who changes a text ADDS its new SHA1, and leaves the old one.
 */
export const OWN_SHAS: readonly string[] = [
  '98b2b88b1aa43ae891c8e2859ad7d9cd48c1c784', // fence-scripts.ts
  '0cecdfc6289faacbd7d1db3083e7ab1b1c474fb3', // compare/abilities.ts
  '0366303f7d86f85c94cb6d61044dba56d0edd0b8', // compare/digest-script.ts
  '2b8f515208304dd87e8518559021aa0c5a3e8c76', // the same, until 5d0c818
  'ab2f267db25c412d3a8c71c66c18aab723170faf', // the same for clusters
  'de284289dbf698459332a0fb6a98adedb10b58dd', // the same for clusters, until 5d0c818
  'b9f6a87d42d741ea70540cc555ec8da85ee6bc98', // copy/read-script.ts
  '6e542659b8f36d6c12d270f3b6452cf40a0cebaa', // copy/write-script.ts
  '3528df1ca0b7c0cb4a1cf985cd42f24e1c81b1bb', // dual-write/control.ts
  'c70db7efc84f24cf1b118740e9de2667252d20eb', // the same, until 373490e
  '0b5ea34de19e09348cfa83b6df68b18d808b56e7', // dual-write/journal.ts
  'cd74d73c06b00c3f191e7c3f9009531f1622749e', // dual-write/instances.ts
];

const registered = new Map<string, string>();

/** To be called once for each, where the module is loaded. */
export function ownScript(text: string): OwnScript {
  const sha = createHash('sha1').update(text).digest('hex');
  registered.set(sha, text);
  return { text, sha };
}

/** What this version runs, by SHA1: of the modules that are loaded. */
export const registeredScripts = (): ReadonlyMap<string, string> => registered;

/** Also those of modules that are not loaded here: another process of ours may have run them. */
export const ownShas = (): string[] => [...new Set([...OWN_SHAS, ...registered.keys()])];
