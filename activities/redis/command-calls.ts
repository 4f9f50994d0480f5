/** What a server counts of the commands it was sent. */
import { parseInfo } from './replication.ts';

/**
 * How often each command was called since the server's start, or CONFIG RESETSTAT, our own calls among them. By its name in
 * lower case, `config|get` of a subcommand. One that was refused each time may stand there with 0.
 * @param commandstats the answer to INFO commandstats
 */
export function commandCalls(commandstats: string): Map<string, number> {
  const found = new Map<string, number>();
  for (const [field, text] of Object.entries(parseInfo(commandstats))) {
    const calls = /calls=(\d+)/.exec(text)?.[1];
    if (field.startsWith('cmdstat_') && calls !== undefined) {
      found.set(field.slice('cmdstat_'.length).toLowerCase(), Number(calls));
    }
  }
  return found;
}
