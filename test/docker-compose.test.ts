/**
 * No Docker engine runs here. So docker-compose.yml is checked against the Compose Specification's own schema, the
 * image's folder is built by the Dockerfile's own commands, and each of our services runs in it as a plain process, in
 * the environment that the file gives it, against a real Temporal.
 */
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { GetParameterCommand, PutParameterCommand, SSMClient } from '@aws-sdk/client-ssm';
import { Client, Connection } from '@temporalio/client';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { z } from 'zod';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { freePort } from '../sandbox/runtime/ports.ts';
import { startProcess, type RunningProcess } from '../sandbox/runtime/process.ts';
import { startTemporal, type TemporalServer } from '../sandbox/runtime/temporal.ts';
import { cacheFolder } from '../sandbox/runtime/tool-cache.ts';
import { MOTO_VERSION } from '../sandbox/runtime/tool-recipe.ts';
import { ensureTool } from '../sandbox/runtime/tools.ts';
import { SearchAttributes } from '../spec/contract.ts';
import { parsedCompose, readCompose, type Service } from './compose-file.ts';
import { buildContext, buildStage, execForm, imageEnvironment, lineage, readDockerfile } from './dockerfile.ts';
import { outputOf } from './command-output.ts';
import { REPO } from './fresh-build.ts';

const FILE = join(REPO, 'docker-compose.yml');
const compose = readCompose(FILE);
const services = Object.entries(compose.services);
const ours = services.filter(([, { build }]) => build !== undefined);
const stages = readDockerfile(join(REPO, 'Dockerfile'));
const work = mkdtempSync(join(tmpdir(), 'cutover-compose-'));
afterAll(() => rmSync(work, { recursive: true, force: true }));

function serviceOf(name: string): Service {
  const service = compose.services[name];
  if (service === undefined) throw new Error(`docker-compose.yml has no service ${name}`);
  return service;
}

/** What its container runs, and in which environment, less what the caller maps to this machine. */
function asProcess(name: string): { words: string[]; env: Record<string, string> } {
  const { build, command, entrypoint, environment } = serviceOf(name);
  const stage = build?.target ?? '';
  const set = Object.entries(environment).filter((pair): pair is [string, string] => pair[1] !== null);
  return {
    words: [...(entrypoint ?? execForm(stages, stage, 'ENTRYPOINT')), ...(command ?? execForm(stages, stage, 'CMD'))],
    env: { ...imageEnvironment(stages, stage), ...Object.fromEntries(set) },
  };
}

describe('docker-compose.yml', () => {
  const schema = z
    .record(z.string(), z.unknown())
    .parse(JSON.parse(readFileSync(join(REPO, 'test/fixtures/compose-spec.json'), 'utf8')));
  // Not strict: the specification's schema has keywords of its own ("deprecated" values), which is not ours to mend.
  const ajv = new Ajv2020({ strict: false, allErrors: true, formats: { duration: true } });
  const validate = ajv.compile(schema);

  test('is what the Compose Specification allows', () => {
    validate(parsedCompose(FILE));
    expect(validate.errors ?? []).toEqual([]);
  });

  test('and the check finds what it does not', () => {
    expect(validate({ services: { worker: { image: 'cutover', command: ['worker'] } } })).toBe(true);
    expect(validate({ services: { worker: { image: 'cutover', comand: ['worker'] } } })).toBe(false);
  });

  test('publishes no port beyond this machine', () => {
    const ports = services.flatMap(([, service]) => service.ports);
    expect(ports.length).toBeGreaterThan(0);
    expect(ports.filter((port) => !/^127\.0\.0\.1:\d+:\d+$/.test(port))).toEqual([]);
  });

  test('refers only to what is in it', () => {
    const dangling = services.flatMap(([name, service]) =>
      [
        ...Object.keys(service.depends_on).filter((other) => !(other in compose.services)),
        ...(service.networks ?? []).filter((network) => network !== 'default' && !(network in compose.networks)),
        ...service.configs.map(({ source }) => source).filter((config) => !(config in compose.configs)),
        ...service.volumes.map((volume) => volume.split(':')[0] ?? '').filter((volume) => !(volume in compose.volumes)),
        ...(service.network_mode ?? 'service:worker')
          .split(':')
          .slice(1)
          .filter((other) => !(other in compose.services)),
      ].map((missing) => `${name}: ${missing}`),
    );
    expect(dangling).toEqual([]);
  });

  test('waits for what a service needs: ends well, or has a health check', () => {
    const waits = services.flatMap(([name, { depends_on: needs }]) =>
      Object.entries(needs).map(([other, { condition }]) => ({ name, other, condition })),
    );
    for (const { name, other, condition } of waits) {
      const needed = serviceOf(other);
      const canBeAwaited =
        condition === 'service_healthy'
          ? needed.healthcheck !== undefined || execForm(stages, needed.build?.target ?? '', 'CMD').length > 0
          : condition === 'service_completed_successfully' && needed.restart === 'no';
      expect(canBeAwaited, `${name} waits for ${other} to be ${condition}`).toBe(true);
    }
  });

  test('every service that stays has a health check, and is started again', () => {
    const lacking = services
      .filter(([, { restart }]) => restart !== 'no')
      .filter(([, service]) => service.healthcheck === undefined || service.restart !== 'unless-stopped');
    expect(lacking.map(([name]) => name)).toEqual([]);
  });

  test('names every image with a version', () => {
    const foreign = services.filter(([, { build }]) => build === undefined);
    expect(foreign.map(([, { image }]) => image).filter((image) => !/^[\w./-]+:\d[\w.-]*$/.test(image))).toEqual([]);
  });
});

describe('the Dockerfile', () => {
  test('has the targets that the services are built from', () => {
    const targets = ours.map(([, { build }]) => build?.target ?? '');
    expect(targets).toContain('worker');
    expect(targets.filter((target) => lineage(stages, target).length === 0)).toEqual([]);
  });

  test('makes the worker by default, as an ordinary user, with node itself as the process', () => {
    expect(stages.at(-1)?.name).toBe('worker');
    for (const [name, { build }] of ours) {
      const instructions = lineage(stages, build?.target ?? '').flatMap((stage) => stage.instructions);
      expect(instructions.findLast((instruction) => instruction.name === 'USER')?.text, name).toBe('node');
      expect(asProcess(name).words[0]).toBe('node');
    }
  });

  test('takes in only what is there, and installs the same moto as the sandbox', () => {
    expect(buildContext(join(REPO, '.dockerignore')).filter((name) => !existsSync(join(REPO, name)))).toEqual([]);
    expect(readFileSync(join(REPO, 'Dockerfile'), 'utf8')).toContain(`ARG MOTO_VERSION=${MOTO_VERSION}\n`);
  });
});

describe('the image, as plain processes', () => {
  const folders = { build: join(work, 'build'), runtime: join(work, 'app') };
  const app = folders.runtime;
  let temporal: TemporalServer;
  /** The sandbox's own ports, which another sandbox on this machine may have, and free ones in their place. */
  const ports: Record<string, number> = {};

  beforeAll(async () => {
    for (const stage of stages.filter(({ name }) => name in folders)) await buildStage(stage, REPO, folders);
    // Without search attributes: the worker has to register its own, as on the server of docker-compose.yml.
    temporal = await startTemporal({ dir: join(work, 'temporal'), searchAttributes: {} });
    for (const port of ['6390', '6391', '4566']) ports[port] = await freePort();
  }, 600_000);
  afterAll(() => temporal?.stop());

  /** The containers' names are no hosts here: `temporal` is where the test's server listens. */
  function here(env: Record<string, string>, more: Record<string, string> = {}): NodeJS.ProcessEnv {
    const home = join(work, 'home');
    mkdirSync(home, { recursive: true });
    const mapped = Object.entries(env).map(([name, value]) => [
      name,
      value
        .replace(/^temporal:7233$/, temporal.address)
        .replace(/(?<=^|:)\d{4,5}$/, (port) => String(ports[port] ?? port)),
    ]);
    return { PATH: `${dirname(process.execPath)}:/usr/bin:/bin`, HOME: home, ...Object.fromEntries(mapped), ...more };
  }

  async function health(name: string, env: NodeJS.ProcessEnv): Promise<{ healthy: boolean; text: string }> {
    const [kind, command = '', ...args] = serviceOf(name).healthcheck?.test ?? [];
    expect(kind).toBe('CMD');
    const run = promisify(execFile)(command, args, { cwd: app, env, timeout: 60_000 });
    return run.then(
      ({ stdout }) => ({ healthy: true, text: stdout.trim() }),
      (error: unknown) => ({ healthy: false, text: outputOf(error).stderr.trim() }),
    );
  }

  function start(name: string, env: NodeJS.ProcessEnv): Promise<RunningProcess> {
    const { words } = asProcess(name);
    const [command = '', ...args] = words;
    return startProcess({
      name,
      command,
      args,
      cwd: app,
      env,
      logFile: join(work, `${name}.log`),
      ready: async () => {
        const { healthy, text } = await health(name, env);
        if (!healthy) throw new Error(text);
        return true;
      },
      readyTimeoutMs: 120_000,
    });
  }

  /** SIGTERM, as `docker compose stop` does; after `stop_grace_period` Docker would kill. */
  async function expectGracefulEnd(name: string, running: RunningProcess): Promise<void> {
    const grace = Number(/^(\d+)s$/.exec(serviceOf(name).stop_grace_period ?? '')?.[1]) * 1000;
    const askedAt = Date.now();
    running.signal('SIGTERM');
    const end = await running.exited;
    expect(end, readFileSync(running.logFile, 'utf8').slice(-2000)).toEqual({ code: 0, signal: null });
    expect(Date.now() - askedAt).toBeLessThan(grace);
  }

  test('holds what runs, and not what builds: no sources, no compiler, one platform', () => {
    expect(readdirSync(app).toSorted()).toEqual(['dist', 'docker', 'examples', 'node_modules', 'package.json']);
    expect(existsSync(join(app, 'dist/workflows/bundle.js'))).toBe(true);
    for (const name of ['typescript', 'vitest', 'oxlint'])
      expect(existsSync(join(app, 'node_modules', name))).toBe(false);
    expect(readdirSync(join(app, 'node_modules/@temporalio/core-bridge/releases'))).toHaveLength(1);
  });

  test('temporal-namespace makes the namespace, and does no harm to one that is there', async () => {
    const tool = await ensureTool('temporal');
    const { words, env } = asProcess('temporal-namespace');
    const [command = '', ...args] = words;
    for (const namespace of ['default', 'made', 'made']) {
      const inEnv = here(env, { TEMPORAL_NAMESPACE: namespace, PATH: `${dirname(tool.path)}:/usr/bin:/bin` });
      await promisify(execFile)(command, args, { env: inEnv, timeout: 60_000 });
    }
    const connection = await Connection.connect({ address: temporal.address });
    const { config } = await connection.workflowService.describeNamespace({ namespace: 'made' });
    await connection.close();
    expect(Number(config?.workflowExecutionRetentionTtl?.seconds)).toBe(30 * 24 * 3600);
  });

  test('worker: unhealthy until it polls every queue, registers its search attributes, ends in its grace time', async () => {
    const env = here(asProcess('worker').env);
    const before = await health('worker', env);
    expect(before).toEqual({
      healthy: false,
      text: `no worker of ${hostname()} polls cutover (workflows), cutover (activities), cutover-wait (activities), cutover-copy (activities)`,
    });

    const worker = await start('worker', env);
    try {
      const connection = await Connection.connect({ address: temporal.address });
      const client = new Client({ connection });
      const known = await connection.operatorService.listSearchAttributes({ namespace: client.options.namespace });
      await connection.close();
      const names = Object.values(SearchAttributes).map(({ name }) => name);
      expect(names.filter((name) => !(name in (known.customAttributes ?? {})))).toEqual([]);
      const log = readFileSync(worker.logFile, 'utf8');
      expect(log).toContain('worker ready');
      // webpack takes seconds and 100 MB, and is only for sources.
      expect(log).not.toMatch(/webpack|Workflow bundle created/i);
      await expectGracefulEnd('worker', worker);
    } finally {
      await worker.kill();
    }
  });

  test('worker: unhealthy when Temporal is gone', async () => {
    const env = here(asProcess('worker').env, { TEMPORAL_ADDRESS: '127.0.0.1:1' });
    const gone = await health('worker', env);
    expect(gone.healthy).toBe(false);
    expect(gone.text).toContain('127.0.0.1:1');
  });

  test('sandbox and sandbox-worker: healthy, reach each other, end in their grace time', async () => {
    // In the image these two are Debian's and the Dockerfile's own.
    const programs = {
      REDIS_SERVER_PATH: (await ensureTool('redis-server')).path,
      CUTOVER_CACHE: cacheFolder(process.env),
    };
    const { MOTO_SERVER_PATH: inImage, ...image } = asProcess('sandbox').env;
    expect(inImage).toBe('/opt/moto/bin/moto_server');
    await ensureTool('moto');
    const env = here(image, { ...programs, SANDBOX_DIR: join(work, 'sandbox') });
    expect(await health('sandbox', env)).toMatchObject({ healthy: false });

    const sandbox = await start('sandbox', env);
    try {
      const workerEnv = here(asProcess('sandbox-worker').env);
      const worker = await start('sandbox-worker', workerEnv);
      try {
        expect(readFileSync(worker.logFile, 'utf8')).toContain('queues cutover-sandbox,');
        // By the worker's own settings: what is not ElastiCache goes through the same address to moto.
        const ssm = new SSMClient({
          endpoint: workerEnv['AWS_ENDPOINT_URL'] ?? '',
          region: workerEnv['AWS_REGION'] ?? '',
          credentials: { accessKeyId: workerEnv['AWS_ACCESS_KEY_ID'] ?? '', secretAccessKey: 'sandbox' },
        });
        await ssm.send(new PutParameterCommand({ Name: '/shop/redis', Value: 'here', Type: 'String' }));
        const { Parameter } = await ssm.send(new GetParameterCommand({ Name: '/shop/redis' }));
        ssm.destroy();
        expect(Parameter?.Value).toBe('here');
        await expectGracefulEnd('sandbox-worker', worker);
      } finally {
        await worker.kill();
      }
      await expectGracefulEnd('sandbox', sandbox);
    } finally {
      await sandbox.kill();
    }
  });
});
