/** How the client fails: each with a type of its own, a sentence an operator can act on, and the exit code of the CLI. */
import type { FileProblem } from './file-problem.ts';

/** Base of all errors of this library. `mend` is what to do about it, where there is something to do. */
export class CutoverError extends Error {
  override readonly name: string = 'CutoverError';
  readonly mend: string | undefined;
  constructor(message: string, options: { mend?: string | undefined; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.mend = options.mend;
  }
}

/** The file is wrong; `problems` holds all that is wrong with it, each with its position. */
export class WrongFile extends CutoverError {
  override readonly name = 'WrongFile';
  readonly problems: FileProblem[];
  constructor(file: string, problems: FileProblem[]) {
    super(`${file} has ${problems.length === 1 ? 'a problem' : `${problems.length} problems`}`);
    this.problems = problems;
  }
}

/** Wrong arguments, or settings of the connection that contradict each other. */
export class WrongUsage extends CutoverError {
  override readonly name = 'WrongUsage';
}

/** Temporal can't be reached, or refuses us. */
export class Unreachable extends CutoverError {
  override readonly name = 'Unreachable';
  readonly address: string;
  constructor(address: string, message: string, options: { mend?: string | undefined; cause?: unknown } = {}) {
    super(message, options);
    this.address = address;
  }
}

/** Temporal is there, but no worker polls the task queue, so nothing can answer. */
export class NoWorker extends CutoverError {
  override readonly name = 'NoWorker';
  readonly taskQueue: string;
  /** `what` says it in another way than that none polls. */
  constructor(taskQueue: string, detail = '', what = 'no worker is polling the task queue') {
    super(`${what} "${taskQueue}"${detail}`, {
      mend: `start one: npx cutover worker${taskQueue === 'cutover' ? '' : ` --task-queue ${taskQueue}`}`,
    });
    this.taskQueue = taskQueue;
  }
}

/** There is no migration of that id. */
export class NoMigration extends CutoverError {
  override readonly name = 'NoMigration';
}

/** A migration of that id runs already. */
export class AlreadyRunning extends CutoverError {
  override readonly name = 'AlreadyRunning';
  readonly id: string;
  constructor(id: string, cause?: unknown) {
    super(`a migration "${id}" is already running; nothing was started`, {
      mend: `look at it: npx cutover status ${id}, or give the new one another id`,
      cause,
    });
    this.id = id;
  }
}

/** The migration turned a command down; the message is its reason. */
export class Refused extends CutoverError {
  override readonly name = 'Refused';
  readonly command: string;
  constructor(command: string, reason: string, cause?: unknown) {
    super(`${command} was refused: ${reason}`, { cause });
    this.command = command;
  }
}

/**
 * The workflow ended without its own last word: terminated, timed out, or failed by a bug. No undo has run then, so
 * the fence may still be up. Never to be taken for `done` or `aborted`.
 */
export class EndedUncleanly extends CutoverError {
  override readonly name = 'EndedUncleanly';
  readonly how: string;
  constructor(id: string, how: string, reason: string | undefined, about: { file?: unknown; cause?: unknown } = {}) {
    const file = typeof about.file === 'string' ? about.file : '<file>';
    super(
      `the workflow of "${id}" ${how}${reason ? `: ${reason}` : ''}; its undo did not run, so a fence may still be up`,
      {
        mend: `if the source refuses writes and the target was not promoted: npx cutover unfence ${file}`,
        cause: about.cause,
      },
    );
    this.how = how;
  }
}

/** A preflight, or another workflow that was waited for, failed as a whole. */
export class Failed extends CutoverError {
  override readonly name = 'Failed';
}
