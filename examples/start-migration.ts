/**
 * A client script: starts a migration from its file, shows how it goes on, and approves the cutover if you say so.
 *
 *     npx tsx examples/start-migration.ts examples/redis-replicaof.yaml --approve
 *
 * In your own project, import from 'cutover'. Temporal is found as by every Temporal tool: TEMPORAL_ADDRESS, a profile,
 * TLS, an API key. A worker has to run: npx cutover worker
 */
import { connect, CutoverError, problemText, startMigration, waitsForOperator, WrongFile } from '../client/index.ts';

const [file, approve] = process.argv.slice(2);
if (!file) throw new Error('usage: start-migration.ts <file> [--approve]');

try {
  const client = await connect();
  try {
    const migration = await startMigration(client, { file });
    console.log(`${migration.id} started`);
    for await (const status of migration.watch()) {
      console.log(status.phase, status.step ?? '', status.progress?.text ?? '');
      if (!waitsForOperator(status)) continue;
      const { gate } = status;
      if (!gate || approve !== '--approve') {
        console.log(`it waits for you: ${gate ? gate.title : (status.operator?.reason ?? status.phase)}`);
        break;
      }
      // The gate is named, so that this can't open another one that waits by the time it arrives.
      const { message } = await migration.approve({ step: gate.id, reason: 'approved by a script' });
      console.log(message);
    }
    const { outcome, writePauseMs, leftovers } = await migration.report();
    console.log({ outcome, writePauseMs, leftovers });
    process.exitCode = outcome === 'aborted' ? 1 : 0;
  } finally {
    await client.connection.close();
  }
} catch (error) {
  if (!(error instanceof CutoverError)) throw error;
  if (error instanceof WrongFile) for (const problem of error.problems) console.error(problemText(problem));
  else console.error(`${error.message}${error.mend ? `\n${error.mend}` : ''}`);
  process.exitCode = 1;
}
