/** The servers of the demo: the sandbox with a source and a target, and the worker. */
import { DescribeReplicationGroupsCommand } from '@aws-sdk/client-elasticache';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import pc from 'picocolors';
import { startSandbox, type Sandbox } from '../assemble.ts';
import { createGroup, elastiCacheOf, EXAMPLE_GROUP } from '../example-group.ts';
import { nodeProgram } from '../node-program.ts';
import { startProcess } from '../runtime/process.ts';
import { terminalProgress } from '../runtime/tools.ts';
import type { Engine } from './demo-file.ts';
import type { Endings } from './endings.ts';
import type { Address } from './proof.ts';
import { say } from './stage.ts';

const WORKER_READY_MS = 120_000;

interface ServerOptions {
  engine: Engine;
  dir: string;
  endings: Endings;
}

/** @throws as startSandbox */
export async function raiseSandbox({
  engine,
  dir,
  endings,
}: ServerOptions): Promise<{ sandbox: Sandbox; target: Address }> {
  const cloud = engine === 'elasticache' ? 'and a local ElastiCache' : 'and an empty one beside it';
  say(`sandbox: a real Temporal with its UI, a real Redis, ${cloud}; what this machine lacks is fetched once`);
  const began = Date.now();
  const sandbox = await startSandbox({
    dir: join(dir, 'sandbox'),
    onProgress: terminalProgress(process.stdout),
    target: engine === 'replicaof',
    aws: engine === 'elasticache',
  });
  endings.add('sandbox', () => sandbox.stop());
  say(`up after ${((Date.now() - began) / 1000).toFixed(1)} s`);
  say(`Temporal     ${sandbox.temporal!.address}, its UI: ${pc.underline(sandbox.temporal!.uiUrl ?? '')}`);
  say(`source       redis ${sandbox.source!.version} at ${sandbox.source!.host}:${sandbox.source!.port}`);
  if (engine === 'replicaof') {
    const { host, port, version } = sandbox.target!;
    say(`target       redis ${version} at ${host}:${port}`);
    return { sandbox, target: { host, port } };
  }
  say(`AWS          ${sandbox.aws!.url}`);
  await createGroup(sandbox.env, EXAMPLE_GROUP);
  const target = await primaryEndpoint(sandbox);
  say(
    `target       replication group ${EXAMPLE_GROUP}, made with the AWS SDK: a primary at ${target.host}:${target.port} and a replica`,
  );
  return { sandbox, target };
}

async function primaryEndpoint(sandbox: Sandbox): Promise<Address> {
  const client = elastiCacheOf(sandbox.env);
  try {
    const { ReplicationGroups } = await client.send(
      new DescribeReplicationGroupsCommand({ ReplicationGroupId: EXAMPLE_GROUP }),
    );
    const endpoint = ReplicationGroups?.[0]?.NodeGroups?.[0]?.PrimaryEndpoint;
    if (!endpoint?.Address || !endpoint.Port)
      throw new Error(`replication group ${EXAMPLE_GROUP} has no primary endpoint`);
    return { host: endpoint.Address, port: endpoint.Port };
  } finally {
    client.destroy();
  }
}

/** The ordinary `cutover worker`. @throws ProcessStartError with its last log lines */
export async function startWorker(
  env: NodeJS.ProcessEnv,
  { dir, endings }: Omit<ServerOptions, 'engine'>,
): Promise<void> {
  const logFile = join(dir, 'worker.log');
  const program = nodeProgram('client/cli/main');
  process.stdout.write(`  ${pc.bold('$ cutover worker &')}\n`);
  const worker = await startProcess({
    name: 'cutover worker',
    command: program.command,
    args: [...program.args, 'worker'],
    env,
    cwd: dir,
    logFile,
    readyTimeoutMs: WORKER_READY_MS,
    ready: async () => readFileSync(logFile, 'utf8').includes('worker ready'),
  });
  endings.add('worker', () => worker.stop());
  say(`ready, pid ${worker.pid}; its log: ${logFile}`);
}
