/** `cutover worker` */
import type { Command } from 'commander';
import { action, addCommand, withConnection, type ConnectionOptions } from './command.ts';
import { note } from './output.ts';
import { wholeNumber } from './parse-number.ts';

interface WorkerOptions extends ConnectionOptions {
  logLevel?: string;
  maxWaits?: number;
  maxCopies?: number;
  maxFollowers?: number;
}

const LOG_LEVELS = ['TRACE', 'DEBUG', 'INFO', 'WARN', 'ERROR'] as const;

export function addWorker(program: Command): void {
  const command = addCommand(program, 'worker', {
    summary: 'run the process that carries migrations out',
    description:
      'Runs a worker until SIGINT or SIGTERM. Migrations run in workers: start it where it reaches the source, the target and AWS, with the credentials and the secrets that the files name in its environment. Any number may run; when one dies, another takes over what it did.',
    examples: ['worker', 'worker --address temporal.internal:7233 --task-queue cutover-tokyo'],
    json: false,
  });
  withConnection(command, 'task-queue')
    .option('--log-level <level>', LOG_LEVELS.join(', '), logLevel, 'INFO')
    .option('--max-waits <count>', 'migrations that may wait at a time', wholeNumber)
    .option('--max-copies <count>', 'compares and copies at a time', wholeNumber)
    .option('--max-followers <count>', 'copies that are followed at a time (engine: scan)', wholeNumber)
    .action(action(worker));
}

function logLevel(text: string): string {
  return text.toUpperCase();
}

async function worker(options: WorkerOptions): Promise<void> {
  const { connectSettings } = await import('../connect.ts');
  const { Unreachable, WrongUsage } = await import('../errors.ts');
  const level = LOG_LEVELS.find((known) => known === options.logLevel);
  if (!level) throw new WrongUsage(`the log level is "${options.logLevel}", expected one of ${LOG_LEVELS.join(', ')}`);
  const { address, namespace } = connectSettings(options);
  const { tuneHeap } = await import('../../worker/heap.ts');
  tuneHeap();
  const { runWorker } = await import('../../worker/index.ts');
  const { defaultTaskQueue } = await import('../task-queue.ts');
  let ready = false;
  try {
    await runWorker({
      taskQueue: options.taskQueue ?? defaultTaskQueue(),
      address,
      namespace,
      logLevel: level,
      ...(options.profile ? { profile: options.profile } : {}),
      ...(options.maxWaits ? { maxWaits: options.maxWaits } : {}),
      ...(options.maxCopies ? { maxCopies: options.maxCopies } : {}),
      ...(options.maxFollowers ? { maxFollowers: options.maxFollowers } : {}),
      onReady: ({ queues }) => {
        ready = true;
        note(`worker ready: ${address}, namespace ${namespace}, queues ${queues.join(', ')}`);
      },
    });
  } catch (error) {
    const lost = error instanceof Error && /Transport|Connection/.test(error.name) && !ready;
    if (!lost) throw error;
    throw new Unreachable(address, `Temporal can't be reached at ${address}: ${error.message.split('\n')[0]}`, {
      mend: 'is it running, and is the address right? Set --address or TEMPORAL_ADDRESS; a local one: npx cutover sandbox up',
      cause: error,
    });
  }
}
