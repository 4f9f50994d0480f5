/** What a user of an ACL may do, asked without doing it. */
import { CannotCheck } from '../../preflight/check.ts';
import { listOf, type RedisProbe } from './probe.ts';
import { atLeast } from './versions.ts';

/**
 * The commands among these that the user may not run, as the server says it; empty where all are allowed.
 * From 7.0 by ACL DRYRUN. On 6.x only a user with every command, or none, is certain. Before 6 there are no ACLs.
 * @throws CannotCheck where the server won't tell, which it does only to a user who may use ACL
 */
export async function refusedCommands(probe: RedisProbe, user: string, commands: string[][]): Promise<string[]> {
  const version = await probe.version();
  if (!atLeast(version, 6)) return [];
  if (!atLeast(version, 7)) return refusedBefore7(probe, user, commands);
  const verdicts = await Promise.all(
    commands.map(async (command) => {
      const verdict = await probe.call('ACL', 'DRYRUN', user, ...command);
      return verdict === 'OK' ? undefined : nameOf(command);
    }),
  );
  return verdicts.filter((refused) => refused !== undefined);
}

async function refusedBefore7(probe: RedisProbe, user: string, commands: string[][]): Promise<string[]> {
  const answer = listOf(await probe.call('ACL', 'GETUSER', user));
  // Flat pairs; the keys are a list of patterns on 6.x.
  const field = (name: string) => [answer[answer.indexOf(name) + 1]].flat().map(String);
  const granted = field('commands').join(' ');
  const keys = field('keys');
  if (granted === '+@all' && keys.some((pattern) => pattern === '*' || pattern === '~*')) return [];
  if (granted === '-@all') return commands.map(nameOf);
  throw new CannotCheck(`ACL GETUSER ${user} says "${granted}"; before Redis 7.0 only +@all with ~* is certain`);
}

function nameOf(command: string[]): string {
  const containers = new Set(['CONFIG', 'CLIENT', 'ACL']);
  return command.slice(0, containers.has(command[0]!) ? 2 : 1).join(' ');
}

/** The rule that grants a command: `CONFIG SET` is `+config|set`. */
export function ruleFor(name: string): string {
  return `+${name.toLowerCase().replace(' ', '|')}`;
}
