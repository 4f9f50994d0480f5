/** `cutover report <id>` */
import type { Command } from 'commander';
import { action, addCommand, withClient, withConnection, type ConnectionOptions } from './command.ts';
import { ExitCode } from './exit-code.ts';
import { print } from './output.ts';

interface ReportOptions extends ConnectionOptions {
  markdown?: boolean;
}

export function addReport(program: Command): void {
  const command = addCommand(program, 'report <id>', {
    summary: 'print what a migration did',
    description:
      'Prints what the migration did: steps and how long each took, cutovers and their write pauses, who decided what, what is left behind. Needs no worker once it has ended. Exit code 1 where it was aborted.',
    examples: ['report shop', 'report shop --markdown > shop.md', 'report shop --json | jq .writePauseMs'],
  });
  withConnection(command).option('--markdown', 'as markdown, for a ticket').action(action(report));
}

async function report(id: string, options: ReportOptions): Promise<ExitCode> {
  const found = await withClient(options, async (client) => {
    const { MigrationHandle } = await import('../migration-handle.ts');
    return new MigrationHandle(client, id).report();
  });
  const { reportMarkdown, reportText } = await import('./report-view.ts');
  print(options, found, () => (options.markdown ? reportMarkdown(found) : reportText(found)));
  return found.outcome === 'aborted' ? ExitCode.failed : ExitCode.done;
}
