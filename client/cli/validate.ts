/** `cutover validate <file...>` */
import type { Command } from 'commander';
import { action, addCommand, type BasicOptions } from './command.ts';
import { ExitCode } from './exit-code.ts';
import { note, print } from './output.ts';

export function addValidate(program: Command): void {
  addCommand(program, 'validate <file...>', {
    summary: 'check migration files',
    description:
      'Checks migration files without connecting to anything. Every problem is shown at once, as file:line:column, with the value and what is expected. Exit code 2 where a file is wrong.',
    examples: ['validate shop.yaml', 'validate --json examples/*.yaml'],
  }).action(action(validate));
}

async function validate(files: string[], options: BasicOptions): Promise<ExitCode> {
  const { loadMigrationFile } = await import('../migration-file.ts');
  const { WrongFile } = await import('../errors.ts');
  const { problemText } = await import('../file-problem.ts');
  const results: { file: string; valid: boolean; id?: string; kind?: string; problems: { message: string }[] }[] = [];
  for (const file of files) {
    try {
      const { id, kind } = await loadMigrationFile(file);
      results.push({ file, valid: true, id, kind, problems: [] });
    } catch (error) {
      if (!(error instanceof WrongFile)) throw error;
      results.push({ file, valid: false, problems: error.problems });
      if (!options.json) error.problems.forEach((problem) => note(problemText(problem)));
    }
  }
  const valid = results.every((result) => result.valid);
  const text = () =>
    results
      .filter((result) => result.valid)
      .map(({ file, id, kind }) => `${file}: valid (${kind} ${id})`)
      .join('\n');
  if (options.json || text() !== '') print(options, files.length === 1 ? results[0] : results, text);
  return valid ? ExitCode.done : ExitCode.usage;
}
