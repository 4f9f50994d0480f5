/** `cutover snapshots` */
import { InvalidArgumentError, Option, type Command } from 'commander';
import ms, { type StringValue } from 'ms';
import type { CatalogueAnswer, CatalogueSystem } from '../../spec/catalogue.ts';
import type { StaleSource } from '../catalogue.ts';
import { action, addCommand, withClient, withConnection, type ConnectionOptions } from './command.ts';
import { ExitCode } from './exit-code.ts';
import { note, print } from './output.ts';
import { wholeNumber } from './parse-number.ts';

interface SnapshotsOptions extends ConnectionOptions {
  system?: CatalogueSystem[];
  source?: string;
  region?: string;
  maxAge?: number;
  timeout: number;
}

const SYSTEMS: readonly CatalogueSystem[] = ['elasticache', 'dynamodb', 'machine'];

export function addSnapshots(program: Command): void {
  const command = addCommand(program, 'snapshots', {
    summary: 'list the backups that AWS holds: how old, how big, whether complete',
    description:
      "Lists every backup that AWS holds: ElastiCache's snapshots, DynamoDB's exports, machines' images and volume snapshots; those of cutover and all others. A worker asks AWS, from where it is. Complete is only what can be restored from: every shard, every volume, the manifest. A system that can't be asked is named, and the exit code is 1: its missing list must not look like no backups. With --max-age it is 1 also where a source has no complete backup that is so young: for monitoring.",
    examples: [
      'snapshots',
      'snapshots --system elasticache --source shop-cache',
      'snapshots --max-age 26h || page-somebody',
      "snapshots --json | jq '.entries[] | select(.complete | not)'",
    ],
  });
  withConnection(command, 'task-queue')
    .addOption(
      new Option('--system <name>', 'of this system alone; may be given again')
        .choices([...SYSTEMS])
        .argParser((name: string, before: CatalogueSystem[] | undefined) => [...(before ?? []), system(name)]),
    )
    .option('--source <name>', 'of this replication group, table or instance alone')
    .option('--region <region>', "of AWS (default: the workers' own)")
    .option('--max-age <duration>', "exit code 1 where a source's newest complete backup is older, such as 26h", age)
    .option('--timeout <seconds>', 'for the whole list', wholeNumber, 300)
    .action(action(snapshots));
}

function system(name: string): CatalogueSystem {
  const found = SYSTEMS.find((one) => one === name);
  if (!found) throw new InvalidArgumentError(`Allowed choices are ${SYSTEMS.join(', ')}.`);
  return found;
}

function age(text: string): number {
  const value = /^\d+(\.\d+)?(s|m|h|d)$/.test(text) ? ms(text as StringValue) : 0;
  if (!(value > 0)) throw new InvalidArgumentError('Expected a duration such as 26h or 8d.');
  return value;
}

async function snapshots(options: SnapshotsOptions): Promise<ExitCode> {
  const { source, region, taskQueue, maxAge } = options;
  const answer: CatalogueAnswer = await withClient(options, async (client) => {
    const { catalogue } = await import('../catalogue.ts');
    const timeoutMs = options.timeout * 1000;
    return catalogue(client, { systems: options.system, source, region, taskQueue, timeoutMs });
  });
  const { staleSources } = await import('../catalogue.ts');
  const stale: StaleSource[] = maxAge === undefined ? [] : staleSources(answer.entries, maxAge, { source });
  const { catalogueText, staleText, unknownText } = await import('./snapshots-view.ts');
  print(options, { ...answer, ...(maxAge === undefined ? {} : { stale }) }, () => catalogueText(answer));
  // Beside the list, so that a pipe into grep does not swallow it.
  if (!options.json) for (const line of [...answer.unknown.map(unknownText), ...stale.map(staleText)]) note(line);
  return answer.unknown.length > 0 || stale.length > 0 ? ExitCode.failed : ExitCode.done;
}
