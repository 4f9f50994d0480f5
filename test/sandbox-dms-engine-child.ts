/** An engine in a process of its own, to be killed: prints its statistics as lines of JSON. SIGUSR2 ends its script; SIGTERM stops it, then it exits with 0. */
import { openTaskEngine } from '../sandbox/aws/dms/engine/engine.ts';
import type { EngineScript, StartType, TaskSpec } from '../sandbox/aws/dms/engine/contract.ts';

const { spec, type, script } = JSON.parse(process.argv[2] ?? '') as {
  spec: TaskSpec;
  type: StartType;
  script: EngineScript;
};
const engine = openTaskEngine(spec, (end) => {
  console.error(JSON.stringify(end));
  process.exit(1); // It was to be killed, not to end.
});
process.once('SIGTERM', () => void engine.stop().then(() => process.exit(0)));
process.once('SIGUSR2', () => engine.script({}));
engine.script(script);
await engine.start(type);
setInterval(() => console.log(JSON.stringify({ tables: engine.tableStatistics() })), 50);
