// Compiles to dist/ and bundles the workflows ahead, so that `npx cutover worker` starts without webpack.
import { execFileSync } from 'node:child_process';
import { existsSync, rmSync, writeFileSync, chmodSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const at = (path) => fileURLToPath(new URL(path, import.meta.url));

rmSync(at('dist'), { recursive: true, force: true });
execFileSync(process.execPath, [at('node_modules/typescript/bin/tsc'), '-p', at('tsconfig.build.json')], {
  stdio: 'inherit',
});
if (existsSync(at('dist/workflows/index.js'))) {
  const { bundleWorkflowCode } = await import('@temporalio/worker');
  const quiet = { log() {}, trace() {}, debug() {}, info() {}, warn: console.warn, error: console.error };
  const { code } = await bundleWorkflowCode({ workflowsPath: at('dist/workflows/index.js'), logger: quiet });
  writeFileSync(at('dist/workflows/bundle.js'), code);
}
if (existsSync(at('dist/client/cli/main.js'))) chmodSync(at('dist/client/cli/main.js'), 0o755);
