/** `cutover schema` */
import type { Command } from 'commander';
import { action, addCommand, type BasicOptions } from './command.ts';
import { print } from './output.ts';

export function addSchema(program: Command): void {
  addCommand(program, 'schema', {
    summary: "print the JSON Schema of a migration's file",
    description:
      'Prints the JSON Schema of a migration file. Save it, and let the editor complete and check by it: with the YAML extension of VS Code, begin the file with  # yaml-language-server: $schema=cutover.schema.json',
    examples: ['schema > cutover.schema.json'],
  }).action(action(schema));
}

async function schema(options: BasicOptions): Promise<void> {
  const { migrationJsonSchema } = await import('../../spec/migration.ts');
  print({ ...options, json: true }, migrationJsonSchema(), () => '');
}
