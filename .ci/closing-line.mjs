// Prints `N passed, N failed` from vitest's JSON report, and exits with what is true of the whole run.
// Usage: node .ci/closing-line.mjs <report.json> <exit code of the tests>
import { existsSync, readFileSync } from 'node:fs';

const [report, exitCode] = process.argv.slice(2);
if (!existsSync(report)) {
  console.error(`no report at ${report}: the tests ended (exit code ${exitCode}) before they had run`);
  process.exit(Number(exitCode) || 1);
}
const { testResults } = JSON.parse(readFileSync(report, 'utf8'));
const count = (...states) =>
  testResults.flatMap((file) => file.assertionResults).filter((test) => states.includes(test.status)).length;

// A file that can't be loaded, or whose hooks fail, has no failed test in it, and is a failure all the same.
const broken = testResults.filter(
  (file) => file.status === 'failed' && file.assertionResults.every((test) => test.status !== 'failed'),
);
for (const file of broken) console.log(`${file.name}: ${file.message.split('\n')[0]}`);

const passed = count('passed');
const failed = count('failed') + broken.length;
const skipped = count('skipped', 'pending', 'todo', 'disabled');
console.log(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`);
// vitest also fails on errors outside of any test, which the counts don't show.
process.exit(Number(exitCode) || (failed > 0 || passed === 0 ? 1 : 0));
