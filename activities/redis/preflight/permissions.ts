/** What a user of an ACL may do, asked without doing it. */
import { CannotCheck } from '../../preflight/check.ts';
import { listOf, type RedisProbe } from './probe.ts';
import { atLeast } from './versions.ts';

export interface Refusals {
  commands: string[];
  /** Some of them for their key alone: a user who has all keys can't be given a pattern, the server refuses the rule. */
  keys: boolean;
}

/** The commands among these that the user may not run. @throws as refusalsOf */
export async function refusedCommands(probe: RedisProbe, user: string, commands: string[][]): Promise<string[]> {
  return (await refusalsOf(probe, user, commands)).commands;
}

/**
 * The commands among these that the user may not run, as the server says it; empty where all are allowed.
 * From 7.0 by ACL DRYRUN. On 6.x only a user with every command, or none, is certain. Before 6 there are no ACLs.
 * @throws CannotCheck where the server won't tell, which it does only to a user who may use ACL
 */
export async function refusalsOf(probe: RedisProbe, user: string, commands: string[][]): Promise<Refusals> {
  const version = await probe.version();
  if (!atLeast(version, 6)) return { commands: [], keys: false };
  if (!atLeast(version, 7)) return refusedBefore7(probe, user, commands);
  let keys = false;
  const verdicts = await Promise.all(
    commands.map(async (command) => {
      const verdict = await probe.call('ACL', 'DRYRUN', user, ...command);
      if (verdict === 'OK') return undefined;
      keys ||= /access the .* key$/.test(String(verdict));
      return nameOf(command);
    }),
  );
  return { commands: verdicts.filter((refused) => refused !== undefined), keys };
}

async function refusedBefore7(probe: RedisProbe, user: string, commands: string[][]): Promise<Refusals> {
  const answer = listOf(await probe.call('ACL', 'GETUSER', user));
  // Flat pairs; the keys are a list of patterns on 6.x.
  const field = (name: string) => [answer[answer.indexOf(name) + 1]].flat().map(String);
  const granted = field('commands').join(' ');
  const keys = field('keys');
  const every = keys.some((pattern) => pattern === '*' || pattern === '~*');
  if (granted === '+@all' && every) return { commands: [], keys: false };
  if (granted === '-@all') return { commands: commands.map(nameOf), keys: !every };
  throw new CannotCheck(`ACL GETUSER ${user} says "${granted}"; before Redis 7.0 only +@all with ~* is certain`);
}

/**
 * The commands among these that are refused to us, found by running them: for those alone that change nothing. Any answer
 * but NOPERM means that the command may be run: a cluster looks at permissions first, and only then says MOVED.
 * @throws CannotCheck where the server can't be asked
 */
export async function refusedWhenTried(probe: RedisProbe, commands: string[][]): Promise<string[]> {
  await probe.info();
  const redis = await probe.connection();
  const verdicts = await Promise.all(
    commands.map(async ([name, ...args]) => {
      try {
        await redis.call(name!, ...args);
        return undefined;
      } catch (error) {
        if (!(error instanceof Error) || error.name !== 'ReplyError') {
          throw new CannotCheck(`${name} on ${probe.where}: ${error instanceof Error ? error.message : String(error)}`);
        }
        return error.message.startsWith('NOPERM') ? nameOf([name!, ...args]) : undefined;
      }
    }),
  );
  return [...new Set(verdicts.filter((refused) => refused !== undefined))];
}

function nameOf(command: string[]): string {
  const containers = new Set(['CONFIG', 'CLIENT', 'ACL', 'CLUSTER', 'COMMAND', 'MEMORY', 'XGROUP', 'XINFO']);
  return command.slice(0, containers.has(command[0]!) ? 2 : 1).join(' ');
}

/** The rule that grants a command: `CONFIG SET` is `+config|set`. */
export function ruleFor(name: string): string {
  return `+${name.toLowerCase().replace(' ', '|')}`;
}
