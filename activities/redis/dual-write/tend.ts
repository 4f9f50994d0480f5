/**
 * Keeps the other server up to date with the authority, and watches the instances: what goes on from phase `both` to the
 * end, at the gates as well. One long activity that returns at a material change (facts/temporal 4.3).
 */
import { Context, sleep } from '@temporalio/activity';
import { ApplicationFailure } from '@temporalio/common';
import { authorityOf, journalAgeMs, type DualSide } from '../../../spec/dual-write.ts';
import { ErrorType } from '../../../spec/errors.ts';
import type { RedisDualWrite } from '../../../spec/kind-redis-dual-write.ts';
import type { Progress } from '../../../spec/status.ts';
import { beat } from '../../beat.ts';
import { permanent } from '../../errors.ts';
import { requireEpoch } from './acks.ts';
import { ControlKey } from './control.ts';
import { dualFailure } from './failure.ts';
import { judgeInstances, notAllThere, readInstances, retireGone } from './instances.ts';
import { journalSize, repairTouched } from './journal.ts';
import { changedSince, DualSession, type DualProcesses } from './session.ts';

export interface TendInput {
  migration: RedisDualWrite;
  authority: DualSide;
  /** The epoch that this migration has set. */
  epoch: number;
  last?: DualReading;
  /** The processes that were found equal; where one is another by now, the reading says so. */
  compared?: DualProcesses;
  /** Epoch ms, by the worker's clock: it goes on until then, whatever changes. */
  until?: number;
  /** Beside a copy: it goes on until it is cancelled, and leaves the progress to the copy. */
  beside?: boolean;
}

export interface DualReading {
  /** Every instance lives and follows, and few touched keys wait. */
  ready: boolean;
  notReady?: string;
  /** What kind of reason it is; a material change where it is another. */
  cause?: string;
  /** Waiting mends nothing: everything has to be copied and compared again. */
  compareAgain?: boolean;
  instances: number;
  /** Touched keys that are not yet known to be equal though nothing can be under way for them. */
  backlog: number;
  progress: Progress;
}

const INTERVAL_MS = 500;

/** @throws cutover.NotOurs where somebody else changed the phase; cutover.Invalid, cutover.Denied of the repair */
export async function tendDual(input: TendInput): Promise<DualReading> {
  let open: Tending | undefined;
  let repaired = 0;
  try {
    for (;;) {
      let reading: DualReading;
      try {
        open ??= await Tending.open(input);
        repaired += await open.repair();
        reading = await open.read(repaired);
      } catch (error) {
        open?.close();
        open = undefined;
        reading = unreachable(error, input.last);
      }
      if (!input.beside) beat({ progress: reading.progress });
      if (input.until !== undefined && Date.now() >= input.until) return reading;
      if (!input.beside && input.until === undefined && isMaterial(reading, input.last)) return reading;
      await sleep(INTERVAL_MS);
    }
  } finally {
    open?.close();
  }
}

const isMaterial = (now: DualReading, last: DualReading | undefined) =>
  last === undefined || now.ready !== last.ready || now.cause !== last.cause;

/** A side that is away for a while closes the gate, and is no failure. @throws what no waiting mends; cancellation */
function unreachable(error: unknown, last: DualReading | undefined): DualReading {
  Context.current().cancellationSignal.throwIfAborted();
  const failure = dualFailure(error);
  if (!(failure instanceof ApplicationFailure) || failure.nonRetryable) throw failure;
  return {
    ready: false,
    notReady: failure.message,
    cause: 'unreachable',
    instances: last?.instances ?? 0,
    backlog: last?.backlog ?? 0,
    progress: { text: failure.message },
  };
}

class Tending {
  readonly #input: TendInput;
  readonly #session: DualSession;
  readonly #key: ControlKey;

  private constructor(input: TendInput, session: DualSession, key: ControlKey) {
    this.#input = input;
    this.#session = session;
    this.#key = key;
  }

  static async open(input: TendInput): Promise<Tending> {
    const session = await DualSession.open(input.migration, input.authority, Context.current().cancellationSignal);
    try {
      return new Tending(input, session, await ControlKey.open(input.migration));
    } catch (error) {
      session.close();
      throw error;
    }
  }

  /** @returns keys that differed and were copied */
  async repair(): Promise<number> {
    const { control } = await this.#session.during(() => this.#key.read());
    requireEpoch(control, this.#input.epoch);
    if (authorityOf(control) !== this.#input.authority) {
      throw permanent(
        ErrorType.notOurs,
        `the authority is the ${authorityOf(control)}, not the ${this.#input.authority}`,
      );
    }
    const { id } = this.#input.migration;
    const session = this.#session;
    const { repaired } = await session.during(() =>
      repairTouched(session, id, session.authority, journalAgeMs(control)),
    );
    return repaired;
  }

  async read(repaired: number): Promise<DualReading> {
    const { migration, until, compared } = this.#input;
    return this.#session.during(async () => {
      const { control, nowMs } = await this.#key.read();
      const gone = await retireGone(this.#key, control, nowMs);
      const judged = judgeInstances(await readInstances(this.#key), control, nowMs);
      const { all, old } = await journalSize(this.#session.authority, migration.id, journalAgeMs(control));
      const lacking = notAllThere(migration.instances.min, judged);
      const long =
        old > migration.maxBacklog
          ? `${old} touched keys are not known to be equal yet, ${migration.maxBacklog} are allowed`
          : undefined;
      const changed = changedSince(compared, this.#session.processes(), ['source', 'target']);
      const notReady = changed ?? lacking ?? long;
      const missing = lacking && `instances ${judged.missing.map(({ name }) => name).join(' ')}`;
      const cause = (changed && 'processes') ?? missing ?? (long && 'backlog');
      const ended = gone.length > 0 ? `; taken for gone: ${gone.join(', ')}` : '';
      return {
        ready: notReady === undefined,
        ...(notReady === undefined ? {} : { notReady }),
        ...(cause === undefined ? {} : { cause }),
        ...(changed === undefined ? {} : { compareAgain: true }),
        instances: judged.following,
        backlog: old,
        progress: {
          text: `${notReady ?? `${judged.following} instances follow phase ${control.phase}`}; ${all} touched keys in the journal, ${repaired} repaired${ended}`,
          ...(until === undefined ? {} : { etaMs: Math.max(0, until - Date.now()) }),
        },
      };
    });
  }

  close(): void {
    this.#key.close();
    this.#session.close();
  }
}
