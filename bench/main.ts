/**
 * npm run bench [-- names…] [--quick] [--json] [--record]
 *
 * Runs the benches one after the other, all of them or those that are named, and exits with 1 where one misses its
 * target. --record writes the results into docs/performance.md.
 */
import { parseArgs } from 'node:util';
import Table from 'cli-table3';
import { run as compare } from './compare.ts';
import { run as cutover } from './cutover.ts';
import { describeMachine, load } from './machine.ts';
import { record } from './record.ts';
import { run as redisCopy } from './redis-copy.ts';
import type { Bench, BenchRun } from './result.ts';
import { resultText, verdictText } from './text.ts';
import { run as waiting } from './waiting.ts';
import { run as workerMemory } from './worker-memory.ts';

const BENCHES: Record<string, Bench> = {
  cutover,
  waiting,
  compare,
  'redis-copy': redisCopy,
  'worker-memory': workerMemory,
};

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: { json: { type: 'boolean' }, quick: { type: 'boolean' }, record: { type: 'boolean' } },
});
const wrong = positionals.find((name) => !(name in BENCHES));
if (wrong !== undefined) fail(`there is no bench "${wrong}", expected some of: ${Object.keys(BENCHES).join(', ')}`);
if (flags.quick && flags.record) fail('--record: figures of a --quick run are not recorded');

const say = (text: string): void => void process.stderr.write(`${text}\n`);
const machine = await describeMachine();
say(`${machine.hardware}; ${machine.versions}`);
const runs: BenchRun[] = [];
for (const name of positionals.length > 0 ? positionals : Object.keys(BENCHES)) {
  const [loadBefore, began] = [load(), new Date()];
  say(`\n${name}: load of the machine ${loadBefore}`);
  const results = await BENCHES[name]!({ quick: flags.quick ?? false, say: (text) => say(`  ${text}`) });
  const seconds = Math.round((Date.now() - began.getTime()) / 1000);
  const run: BenchRun = { name, at: began.toISOString(), seconds, loadBefore, loadAfter: load(), results };
  runs.push(run);
  if (!flags.json) process.stdout.write(`${tableOf(run)}\n`);
  // Each at once: the last one's failure must not cost the first one's half hour.
  if (flags.record) say(`recorded in ${record([run], machine)}`);
}
if (flags.json) process.stdout.write(`${JSON.stringify({ machine, runs }, null, 2)}\n`);
if (runs.some(({ results }) => results.some(({ pass }) => pass === false))) process.exitCode = 1;

function tableOf({ name, loadBefore, loadAfter, results }: BenchRun): string {
  const table = new Table({
    head: [`${name} (load ${loadBefore} → ${loadAfter})`, 'figure', 'target', ''],
    colAligns: ['left', 'right', 'right', 'left'],
    style: { head: [], border: [] },
  });
  for (const one of results) table.push([one.name, resultText(one), one.target ?? '', verdictText(one)]);
  return table.toString();
}

function fail(text: string): never {
  process.stderr.write(`bench: ${text}\n`);
  process.exit(2);
}
