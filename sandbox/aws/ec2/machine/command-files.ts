import {
  closeSync,
  constants,
  fstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  realpathSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { AwsFault } from '../../faults.ts';

/**
 * A command's script and output. They lie in the machine's /run, where its own programs may put links and pipes in their
 * place: we, outside, must neither write nor read through those.
 */
function commandFolder(runDir: string, id: string): string {
  return join(runDir, 'commands', id);
}

/** @throws AwsFault SandboxFailure where a link would lead out of the machine */
export function putScript(runDir: string, id: string, script: string): void {
  const dir = commandFolder(runDir, id);
  if (!isOwn(runDir, 'commands')) mkdirSync(join(runDir, 'commands'));
  mkdirSync(dir, { recursive: true });
  if (!isOwn(runDir, 'commands', id)) throw ledOut(dir);
  // A new file, never one that is there.
  writeFileSync(join(dir, 'script.sh'), script, { flag: 'wx', mode: 0o700 });
}

/** What a command has written so far; of a machine that may be gone by now. */
export function outputOf(runDir: string, id: string): { stdout: string; stderr: string } {
  return { stdout: readPlain(runDir, id, 'stdout'), stderr: readPlain(runDir, id, 'stderr') };
}

function readPlain(runDir: string, id: string, name: string): string {
  let file: number | undefined;
  try {
    if (!isOwn(runDir, 'commands', id)) return '';
    // A pipe without a writer would hold the whole sandbox up.
    const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
    file = openSync(join(commandFolder(runDir, id), name), O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    return fstatSync(file).isFile() ? readFileSync(file, 'utf8') : '';
  } catch {
    return ''; // It never got so far, or the machine was started anew since.
  } finally {
    if (file !== undefined) closeSync(file);
  }
}

/** Whether it is there and no link is on the way to it. @throws AwsFault SandboxFailure for a link */
function isOwn(runDir: string, ...path: string[]): boolean {
  let real: string;
  try {
    real = realpathSync(join(runDir, ...path));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw ledOut(join(runDir, ...path));
  }
  if (real === join(realpathSync(runDir), ...path)) return true;
  throw ledOut(join(runDir, ...path));
}

function ledOut(path: string): AwsFault {
  return new AwsFault(
    'SandboxFailure',
    `${path} is no folder of the machine's, or a link that leads out of it: one of its programs made it. Start the machine anew.`,
  );
}
