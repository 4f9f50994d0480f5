/** What the help and the documents show can be typed as it stands: every command and every flag in them is one there is. */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Command } from 'commander';
import { describe, expect, test } from 'vitest';
import { program } from '../client/cli/program.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));

const commands = program(false).commands.flatMap((command) =>
  command.commands.length > 0 ? [...command.commands] : [command],
);

function helpOf(command: Command): string {
  let text = '';
  command.configureOutput({ writeOut: (part) => (text += part) }).outputHelp();
  return text;
}

/** The words of each line `$ cutover …`, without a comment behind it and without what the shell makes of it. */
function linesIn(help: string): string[][] {
  return [...help.matchAll(/^ *\$ cutover (.*)$/gm)].map(([, line]) => wordsOf(line!.split(/ {2,}| [&|>]/)[0]!));
}

/** As a shell splits them; only double quotes are used. */
function wordsOf(line: string): string[] {
  return [...line.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, bare]) => quoted ?? bare!);
}

/** What of such a line the command line would not take, in words. */
function mistake(words: string[]): string | undefined {
  let command: Command = program(false);
  let rest = words;
  while (command.commands.length > 0) {
    const found = command.commands.find((one) => one.name() === rest[0]);
    if (!found) return `there is no command ${words.join(' ')}`;
    command = found;
    rest = rest.slice(1);
  }
  const { operands, unknown } = command.parseOptions(rest);
  if (unknown.length > 0) return `${command.name()} has no ${unknown.join(' ')}`;
  const { registeredArguments: declared } = command;
  const least = declared.filter(({ required }) => required).length;
  const most = declared.some(({ variadic }) => variadic) ? Infinity : declared.length;
  if (operands.length < least || operands.length > most)
    return `${command.name()} takes other words than ${operands.join(' ')}`;
  return undefined;
}

describe('examples', () => {
  test.for(commands.map((command) => [command.name(), command] as const))('of %s', ([, command]) => {
    const examples = linesIn(helpOf(command));
    expect(examples.length).toBeGreaterThan(0);
    for (const words of examples) {
      expect(words, 'an example is of its own command').toContain(command.name());
      expect(mistake(words), `cutover ${words.join(' ')}`).toBeUndefined();
    }
  });

  test('of the program itself', () => {
    const examples = linesIn(helpOf(program(false)));
    expect(examples.length).toBeGreaterThan(5);
    for (const words of examples) expect(mistake(words), `cutover ${words.join(' ')}`).toBeUndefined();
  });

  test.for([
    ['reload-table redash public.events --validate-only', undefined],
    ['reload-table redash public.events --validate', 'reload-table has no --validate'],
    ['reload-table redash', 'reload-table takes other words than redash'],
    ['reload redash', 'there is no command reload redash'],
  ])('a mistake is seen: %s', ([line, why]) => {
    expect(mistake(line!.split(' '))).toBe(why);
  });
});

/** `cutover <command> … --flag` in code, on one line. */
function flagsIn(markdown: string): { command: string; flag: string }[] {
  const names = [...new Set(commands.map((command) => command.name()))];
  const line = new RegExp(`\\bcutover (?:sandbox )?(${names.join('|')})\\b([^\`\n]*)`, 'g');
  return [...markdown.matchAll(line)].flatMap(([, command, rest]) =>
    [...rest!.matchAll(/(?<=\s|\[)--[a-z][a-z-]*/g)].map(([flag]) => ({ command: command!, flag })),
  );
}

test('every flag that the documents show is one that its command has', () => {
  const files = [
    'README.md',
    ...readdirSync(`${ROOT}docs`)
      .filter((name) => name.endsWith('.md'))
      .map((n) => `docs/${n}`),
  ];
  const shown = files.flatMap((file) =>
    flagsIn(readFileSync(`${ROOT}${file}`, 'utf8')).map((found) => ({ file, ...found })),
  );
  expect(shown.length).toBeGreaterThan(3);
  const wrong = shown.filter(
    ({ command, flag }) =>
      !commands.some((one) => one.name() === command && one.options.some(({ long }) => long === flag)),
  );
  expect(wrong).toEqual([]);
});
