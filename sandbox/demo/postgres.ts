/** The demo of `postgres`: Redash's database by DMS, under writes, and the proof that nothing was lost. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import pc from 'picocolors';
import { startRedashProcess, type RedashProcess } from '../app/redash/process.ts';
import type { RedashStats } from '../app/redash/meter.ts';
import { nodeProgram } from '../node-program.ts';
import { REDASH_SECRETS } from '../redash-service.ts';
import type { Endings } from './endings.ts';
import { untilGateIsReady, type RunCutover } from './gate.ts';
import { writePostgresFile } from './postgres-file.ts';
import { postgresProofTable, provePostgres, type PostgresProofInput } from './postgres-proof.ts';
import { asAdmin, asApplication, furnishSource, raisePostgres, type PostgresServers } from './postgres-servers.ts';
import type { DemoResult } from './redis.ts';
import { startWorker } from './servers.ts';
import { cutover, demoEnvironment, heading, say } from './stage.ts';

export interface PostgresDemoOptions {
  rows: number;
  /** Transactions a second. */
  rate: number;
  /** For everything it writes to disk. */
  dir: string;
  endings: Endings;
}

const CLIENTS = 8;
/** What is forgotten when the services are stopped: only the fence ends it. */
const STRAGGLERS = 1;
const WRITES_AFTER = 400;
const LIMIT_MS = 300_000;

/** @throws Error where a part of it does not come up, or a command ends otherwise than it should */
export async function postgresDemo(options: PostgresDemoOptions): Promise<DemoResult> {
  const { dir, endings } = options;
  mkdirSync(dir, { recursive: true });
  heading('Postgres → RDS by DMS: Redash’s database, with Redash writing all the time');
  const servers = await raisePostgres(options);
  const [source, target] = [asAdmin(servers.source), asAdmin(servers.target)];

  heading(`Fill the source with ${options.rows.toLocaleString('en-US')} rows`);
  const filled = await furnishSource(servers.source, options.rows);

  heading('Start an application that keeps writing, and notes what became of every transaction');
  const app = await startRedashProcess({
    dir: join(dir, 'app'),
    endpoint: asApplication(servers.source),
    rate: options.rate,
    clients: CLIENTS,
    stragglers: STRAGGLERS,
  });
  endings.add('application', () => app.kill());
  say(
    `${CLIENTS} clients, ${options.rate.toLocaleString('en-US')} transactions a second: inserts, updates, deletes in 13 tables\n` +
      `stopped, sent over and asked by ${app.url}; ${STRAGGLERS} of the clients ignores being stopped, so the fence has something to do`,
  );

  heading('Start a worker');
  const env = demoEnvironment({ ...servers.sandbox.env, ...REDASH_SECRETS });
  // What it asks DMS every 5 s on AWS, it may ask more often here.
  env['CUTOVER_AWS_POLL_MS'] = '250';
  env['CUTOVER_PG_DUMP'] = servers.pgDump;
  await startWorker(env, { dir, endings });

  heading('Start the migration');
  const path = join(dir, 'postgres-redash.yaml');
  const id = writePostgresFile({ path, source, target, applicationUrl: app.url });
  const run: RunCutover = (args, more = {}) => cutover(args, { env, cwd: dir, ...more });
  const from = Date.now();
  await run(['start', path]);
  const { temporal } = servers.sandbox;
  const link = `${temporal!.uiUrl}/namespaces/${temporal!.namespace}/workflows/${id}`;
  say(`in Temporal's UI: ${pc.underline(link)}`);

  heading('Watch it: preflight, schema, full load, indexes, CDC, until it waits at its gate');
  await run(['watch', id], { expect: [3] });
  await untilGateIsReady(id, run, LIMIT_MS);

  heading('Approve the cutover: stop, fence, copy, drain, sequences, verify, switch, check');
  await run(['approve', id, '--reason', 'the demo is caught up']);
  await untilDone(id, run);
  const to = Date.now();

  heading('Prove it');
  await untilWritten(
    app,
    'transactions on the target',
    ({ endpoints }) => (endpoints[1]?.acknowledged ?? 0) >= WRITES_AFTER,
  );
  const stats = await app.stats();
  const record = await app.end();
  say(`looking for every acknowledged write on ${target.host}:${target.port}, and comparing the two databases whole`);
  const report = JSON.parse(
    (await run(['report', id, '--json'], { show: false })).stdout,
  ) as PostgresProofInput['report'];
  const application = asApplication(servers.source);
  const input: PostgresProofInput = {
    source,
    target,
    filled,
    record,
    stats,
    migration: { from, to },
    report,
    application,
  };
  const proof = await provePostgres(input);
  process.stdout.write(`${postgresProofTable(input, proof)}\n`);
  return { failures: proof.failures, lookAround: lookAround(servers, { id, link, dir }) };
}

/** A cutover that is undone is back at its gate, and `watch` ends there. @throws Error with the reason of the last one */
async function untilDone(id: string, run: RunCutover): Promise<void> {
  const { code } = await run(['watch', id], { expect: [0, 3] });
  if (code === 0) return;
  const { stdout } = await run(['status', id, '--json'], { expect: [0, 3], show: false });
  const { phase, cutovers, operator } = JSON.parse(stdout) as {
    phase: string;
    cutovers: { outcome: string; reason?: string }[];
    operator?: { reason: string };
  };
  const last = cutovers.at(-1);
  throw new Error(`the cutover ended ${last?.outcome}, the migration is ${phase}: ${operator?.reason ?? last?.reason}`);
}

async function untilWritten(app: RedashProcess, what: string, enough: (stats: RedashStats) => boolean): Promise<void> {
  const deadline = Date.now() + LIMIT_MS;
  for (;;) {
    const stats = await app.stats();
    if (enough(stats)) return;
    if (Date.now() > deadline)
      throw new Error(
        `${what}: not ${WRITES_AFTER} within ${LIMIT_MS / 1000} s; errors: ${JSON.stringify(stats.errors)}`,
      );
    await delay(100);
  }
}

function lookAround(
  { sandbox, pgDump, source, target }: PostgresServers,
  at: { id: string; link: string; dir: string },
): string {
  const program = nodeProgram('client/cli/main');
  const psql = ({ host, port, user, password }: typeof source): string =>
    `psql postgresql://${user}:${password}@${host}:${port}/redash`;
  return [
    `Temporal's UI         ${at.link}`,
    `source, fenced        ${psql(source)}`,
    `target                ${psql(target)}`,
    `files and logs        ${at.dir}`,
    '',
    'in another terminal:',
    ...Object.entries({ ...sandbox.env, ...REDASH_SECRETS, CUTOVER_PG_DUMP: pgDump }).map(
      ([name, value]) => `  export ${name}=${value}`,
    ),
    `  alias cutover='${[program.command, ...program.args].join(' ')}'`,
    `  cutover status ${at.id}`,
    `  cutover report ${at.id}`,
  ].join('\n');
}
