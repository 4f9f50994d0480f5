import { spawn } from 'node:child_process';
import type { ChildProcessByStdio } from 'node:child_process';
import { mkdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { AwsFault } from '../../faults.ts';
import { outputOf, putScript } from './command-files.ts';
import { INIT_PROGRAM } from './init-program.ts';
import { SETUP_SCRIPT } from './isolation.ts';

export interface MachineOptions {
  /** What people call it, in errors. */
  id: string;
  /** The folder that is its root file system. */
  root: string;
  /** Folders of its other volumes, and where they are mounted. */
  mounts: readonly { folder: string; mount: string }[];
  /** Emptied at every start; it is the machine's /run. */
  runDir: string;
  hostname: string;
  /** Beside PATH, HOME and LANG. */
  env: Readonly<Record<string, string>>;
}

const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
/** Until the machine's first process answers. Generous: a loaded CI machine. */
const BOOT_MS = 60_000;

interface Running {
  started: () => void;
  ended: (code: number) => void;
}

/** The processes of one machine. They end with it, and with the sandbox, however that ends. */
export class Machine {
  readonly exited: Promise<void>;
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly #runDir: string;
  readonly #running = new Map<string, Running>();
  readonly #answers = new Map<string, () => void>();
  #errors = '';
  #over = false;
  /** The last of those who hold it still. */
  #still: Promise<unknown> = Promise.resolve();

  /**
   * Starts it, and runs its /etc/rc.local if that is executable.
   * @throws AwsFault SandboxFailure naming what this host lacks: a machine is never run without being kept apart
   */
  static async start(options: MachineOptions): Promise<Machine> {
    rmSync(options.runDir, { recursive: true, force: true });
    mkdirSync(join(options.runDir, 'commands'), { recursive: true });
    writeFileSync(join(options.runDir, 'init.pl'), INIT_PROGRAM);
    writeFileSync(join(options.runDir, 'instance.json'), `${JSON.stringify(options.env, null, 1)}\n`);
    const machine = new Machine(options);
    const ready = new Promise<boolean>((done) => machine.#answers.set('ready', () => done(true)));
    const ended = machine.exited.then(() => false);
    const late = setTimeout(() => machine.#kill(), BOOT_MS);
    const came = await Promise.race([ready, ended]).finally(() => clearTimeout(late));
    if (came) return machine;
    throw new AwsFault(
      'SandboxFailure',
      `The sandbox cannot keep machine ${options.id} apart from this host, and so does not run its commands: ${machine.#errors.trim() || 'it ended at once'}. ` +
        'It needs Linux with user namespaces, the programs unshare, mount, findmnt, pivot_root (packages util-linux, mount) and perl; in a container also CAP_SYS_ADMIN (docker run --privileged).',
    );
  }

  private constructor({ id, root, mounts, runDir, hostname, env }: MachineOptions) {
    const mapped = maySetUp() ? [] : ['--map-root-user'];
    const apart = [
      '--mount',
      '--pid',
      '--uts',
      // Shared memory of the host's programs is not removed by one in here.
      '--ipc',
      '--fork',
      '--kill-child',
      ...mapped,
      '--',
      '/bin/bash',
      '-c',
      SETUP_SCRIPT,
    ];
    const volumes = mounts.flatMap(({ folder, mount }) => [realpathSync(folder), mount]);
    this.#runDir = runDir;
    this.#child = spawn(
      'unshare',
      [...apart, `machine:${id}`, realpathSync(root), hostname, realpathSync(runDir), ...volumes],
      // A session of its own: Ctrl-C reaches the sandbox only, which then ends its machines in order.
      { detached: true, stdio: ['pipe', 'pipe', 'pipe'], env: { PATH, HOME: '/root', LANG: 'C.UTF-8', ...env } },
    );
    // 'close': all that it wrote has been read.
    this.exited = new Promise((done) => {
      this.#child.once('error', (error) => {
        this.#errors += error.message;
        done();
      });
      this.#child.once('close', () => done());
    });
    void this.exited.then(() => this.#onExit());
    this.#child.stdin.on('error', () => {}); // What a broken pipe means comes with 'close'.
    this.#child.stderr.on('data', (chunk: Buffer) => (this.#errors = (this.#errors + chunk.toString()).slice(-2_000)));
    createInterface({ input: this.#child.stdout }).on('line', (line) => this.#hear(line));
  }

  /**
   * Runs a script, with sh or what its first line names. What it leaves in the background lives on.
   * @param id of letters, digits and hyphens; `output` finds what it wrote by this.
   * @returns the exit code, 128 + the signal's number where one ended it, 137 too when the machine ended before
   * @throws AwsFault SandboxFailure where the machine's /run leads elsewhere
   */
  async run(id: string, script: string, { cwd = '/', started = () => {} } = {}): Promise<number> {
    if (this.#over) return 137;
    putScript(this.#runDir, id, script);
    const ended = new Promise<number>((done) => this.#running.set(id, { started, ended: done }));
    this.#tell(`run ${id} ${Buffer.from(cwd === '' ? '/' : cwd).toString('hex')}`);
    return ended;
  }

  /** What a command has written so far. */
  output(id: string): { stdout: string; stderr: string } {
    return outputOf(this.#runDir, id);
  }

  /** Kills a command and its process group. Its `run` resolves with 137. */
  kill(id: string): void {
    this.#tell(`kill ${id}`);
  }

  /**
   * Stops every process while `work` runs, so that all volumes are of one moment, as EBS's snapshots of one machine are.
   * Calls wait for each other: the end of one must not thaw the machine under another.
   */
  frozen<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#still.then(async () => {
      await this.#ask('freeze', 'frozen');
      try {
        return await work();
      } finally {
        await this.#ask('thaw', 'thawed');
      }
    });
    this.#still = mine.catch(() => {});
    return mine;
  }

  /** TERM to every process, KILL after `graceSeconds`. Resolves when all are gone. */
  async shutDown(graceSeconds: number): Promise<void> {
    this.#tell(`shutdown ${graceSeconds}`);
    const late = setTimeout(() => this.#kill(), graceSeconds * 1_000 + 5_000);
    await this.exited.finally(() => clearTimeout(late));
  }

  /** As if the power failed. */
  async powerOff(): Promise<void> {
    this.#kill();
    await this.exited;
  }

  #kill(): void {
    // Its child is process 1 of the machine, and is killed with it by --kill-child.
    this.#child.kill('SIGKILL');
  }

  #tell(line: string): void {
    if (this.#child.stdin.writable) this.#child.stdin.write(`${line}\n`);
  }

  async #ask(line: string, answer: string): Promise<void> {
    const answered = new Promise<void>((done) => this.#answers.set(answer, done));
    this.#tell(line);
    await Promise.race([answered, this.exited]);
  }

  #hear(line: string): void {
    const [word = '', id = '', code = ''] = line.split(' ');
    if (word === 'started') return this.#running.get(id)?.started();
    if (word === 'exit') {
      this.#running.get(id)?.ended(Number(code));
      this.#running.delete(id);
      return;
    }
    this.#answers.get(word)?.();
  }

  #onExit(): void {
    this.#over = true;
    for (const { ended } of this.#running.values()) ended(137);
    this.#running.clear();
  }
}

const CAP_SYS_ADMIN = 21n;

/**
 * Whether this process may make the outer namespaces as it is. Root in a container often may not, and then tries as anybody
 * else does: in a user namespace of its own.
 */
function maySetUp(): boolean {
  try {
    const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
    return effective !== undefined && ((BigInt(`0x${effective}`) >> CAP_SYS_ADMIN) & 1n) === 1n;
  } catch {
    return false; // Not Linux: it will be said when it fails.
  }
}
