/**
 * Whether this attempt may still act. Temporal gives an attempt up when its heartbeats stay away, and the workflow goes
 * on; a worker that was frozen meanwhile (SIGSTOP, a suspended machine, a long garbage collection) wakes up and knows of
 * nothing. Before it fences or promotes, an attempt therefore asks here.
 */
import { ErrorType } from '../../spec/errors.ts';
import { transient } from '../errors.ts';

const TICK_MS = 100;
const FROZEN_MS = 2_000;

export class CriticalLease {
  private readonly started = performance.now();
  private last = performance.now();
  private frozenForMs = 0;
  private readonly timer: NodeJS.Timeout;

  constructor() {
    this.timer = setInterval(() => this.tick(), TICK_MS);
  }

  /** How long this attempt has been going on, ms, by a clock that goes on while the process is frozen. */
  get elapsedMs(): number {
    return performance.now() - this.started;
  }

  /**
   * @param withinMs the attempt may take this step only that long after its start; less than the time after which
   *   the workflow gives an attempt up
   * @throws cutover.Deadline
   */
  check(what: string, withinMs: number): void {
    this.tick();
    if (this.frozenForMs > 0) {
      throw transient(
        ErrorType.deadline,
        `${what}: this worker stood still for ${this.frozenForMs} ms; the attempt is given up`,
      );
    }
    if (this.elapsedMs > withinMs) {
      throw transient(ErrorType.deadline, `${what}: not begun within ${withinMs} ms; the attempt is given up`);
    }
  }

  /** True where the process stood still for longer than a moment: others may have gone on without it. */
  get stoodStill(): boolean {
    this.tick();
    return this.frozenForMs > 0;
  }

  end(): void {
    clearInterval(this.timer);
  }

  private tick(): void {
    const now = performance.now();
    if (now - this.last > FROZEN_MS) this.frozenForMs = Math.round(now - this.last);
    this.last = now;
  }
}
