/** The process behind `cutover sandbox up`. Its parent waits for `ready` on the channel between them, then goes. */
import { supervise } from './supervise.ts';
import { terminalProgress } from './runtime/tools.ts';
import type { SandboxPorts } from './ports-of-dir.ts';

export interface SupervisorOrders {
  dir: string;
  ports?: Partial<SandboxPorts>;
  postgres?: boolean;
}

const orders = JSON.parse(process.argv[2] ?? '{}') as SupervisorOrders;
const tell = (message: unknown): Promise<void> =>
  new Promise((resolve) => {
    if (process.connected && process.send) process.send(message, undefined, {}, () => resolve());
    else resolve();
  });
let ready = false;
// Ctrl-C on `sandbox up` while a program is being fetched ends the sandbox with it.
process.on('disconnect', () => {
  if (!ready) process.kill(process.pid, 'SIGTERM');
});
try {
  const onProgress = terminalProgress({ write: (text) => void tell({ progress: text.trimEnd() }) });
  const info = await supervise({ ...orders, onProgress, say: (progress) => void tell({ progress }) });
  ready = true;
  await tell({ info });
} catch (error) {
  await tell({ failed: error instanceof Error ? error.message : String(error) });
  process.exit(1);
}
