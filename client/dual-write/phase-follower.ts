/**
 * Reads the phase from the source, says in the same transaction that this instance is there, and acknowledges.
 *
 * The record is written in one transaction with the reading: a workflow that changes the phase either finds this instance
 * in the list, or this instance finds the new phase. How long it may act on a reading is counted by the monotonic clock from
 * when the question was sent.
 */
import { EventEmitter } from 'node:events';
import { hostname } from 'node:os';
import {
  DUAL_DEFAULTS,
  DUAL_WRITE_PROTOCOL,
  decodeControl,
  dualKeys,
  effectiveControl,
  encodeInstance,
  noControl,
} from '../../spec/dual-write.ts';
import type { DualControl, DualInstance } from '../../spec/dual-write.ts';
import { call } from './call.ts';
import { textOf } from './errors.ts';
import type { Link } from './link.ts';
import type { Settings } from './options.ts';

const LIBRARY_VERSION = '1';

export type Counters = Pick<DualInstance, 'held' | 'pending' | 'queued' | 'recorded' | 'failedSecondWrites'>;

export interface FollowerParts {
  source: Link;
  target: Link;
  settings: Settings;
  counters(): Counters;
  /** Has every write that began under an older phase ended? */
  drained(): boolean;
}

/** Emits `view` (now, before) when what holds has changed, and `poll` after every look. */
export class PhaseFollower extends EventEmitter<{ view: [DualControl, DualControl | undefined]; poll: [] }> {
  /** What holds, an expired hold resolved. undefined until the first look. */
  view: DualControl | undefined;
  private readonly parts: FollowerParts;
  private readonly keys: ReturnType<typeof dualKeys>;
  private leaseUntil = 0;
  private acknowledged: Pick<DualInstance, 'epoch' | 'phase' | 'reads'> = {
    epoch: -1,
    phase: 'starting',
    reads: 'source',
  };
  private trouble = 'the phase was not read yet';
  private stopped = false;
  private wake: (() => void) | undefined;
  private loop: Promise<void> | undefined;
  private lastClockAt = 0;

  constructor(parts: FollowerParts) {
    super();
    this.parts = parts;
    this.keys = dualKeys(parts.settings.id);
  }

  start(): void {
    this.loop ??= this.run();
  }

  /** Looks again at once: something may be acknowledged now. */
  kick(): void {
    this.wake?.();
  }

  /** How long it may still act on what it read, ms; Infinity once the source is off. */
  get leaseLeftMs(): number {
    if (this.view?.phase === 'target') return Number.POSITIVE_INFINITY;
    return Math.max(0, this.leaseUntil - performance.now());
  }

  /** For people: why the last look failed. */
  get lastTrouble(): string {
    return this.trouble;
  }

  get acknowledgedEpoch(): number {
    return this.acknowledged.epoch;
  }

  /** Ends the looking and takes the record away, if the source can be reached within the bound (ms). */
  async stop(withinMs: number): Promise<void> {
    this.stopped = true;
    this.kick();
    await this.loop;
    const { source, settings } = this.parts;
    if (source.ready(0, 'control')) {
      await source
        .send(call('hdel', this.keys.instances, settings.instance), 'utf8', 0, withinMs, 'control')
        .answer.catch(() => {});
    }
  }

  private async run(): Promise<void> {
    while (!this.stopped) {
      try {
        await this.look();
        this.trouble = '';
      } catch (error) {
        this.trouble = textOf(error);
      }
      if (this.stopped) return;
      this.emit('poll');
      await this.pause();
    }
  }

  private async pause(): Promise<void> {
    if (this.mustAcknowledge() && this.trouble === '') return;
    const ms = this.view?.pollMs ?? DUAL_DEFAULTS.pollMs;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, this.trouble === '' ? ms : Math.min(ms, 100));
      this.wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.wake = undefined;
  }

  private mustAcknowledge(): boolean {
    const { view, acknowledged: done } = this;
    if (view === undefined || !this.parts.drained()) return false;
    return done.epoch !== view.epoch || done.phase !== view.phase || done.reads !== view.reads;
  }

  /** @throws where the source did not answer, or what it answered can't be the phase */
  private async look(): Promise<void> {
    const { source, settings } = this.parts;
    if (!source.ready(0, 'control')) throw new Error(source.trouble(0, 'control'));
    const { view } = this;
    if (view !== undefined && this.mustAcknowledge()) {
      this.acknowledged = { epoch: view.epoch, phase: view.phase, reads: view.reads };
    }
    const sentAt = performance.now();
    const leaseMs = view?.leaseMs ?? DUAL_DEFAULTS.leaseMs;
    const { answer } = source.transaction(
      [
        call('hset', this.keys.instances, settings.instance, encodeInstance(this.record())),
        { ...call('time'), encoding: 'utf8' },
        { ...call('hgetall', this.keys.phase), encoding: 'utf8' },
      ],
      0,
      leaseMs,
      'control',
    );
    const results = (await answer) as [Error | null, unknown][];
    const failed = results.find(([error]) => error !== null);
    if (failed !== undefined) throw failed[0];
    const timeMs = source.heardTime(results[1]?.[1], sentAt);
    const control = decodeControl((results[2]?.[1] ?? {}) as Record<string, string>) ?? (await this.absent());
    if (view !== undefined && control.epoch < view.epoch) {
      throw new Error(
        `the source shows epoch ${control.epoch} after ${view.epoch}: it has lost writes, or is another server`,
      );
    }
    this.leaseUntil = sentAt + control.leaseMs;
    this.apply(effectiveControl(control, timeMs));
    if (sentAt - this.lastClockAt > 5_000) {
      this.lastClockAt = sentAt;
      void this.parts.target.refreshClock();
    }
  }

  private apply(now: DualControl): void {
    const before = this.view;
    this.view = now;
    if (before?.epoch === now.epoch && before.phase === now.phase && before.reads === now.reads) return;
    this.emit('view', now, before);
  }

  /** No control hash: as it is before the first phase, unless it was there, or the target's copy of it says otherwise. */
  private async absent(): Promise<DualControl> {
    if (this.view !== undefined && this.view.epoch > 0) {
      throw new Error(`the control hash ${this.keys.phase} is gone from the source, after epoch ${this.view.epoch}`);
    }
    const { target } = this.parts;
    // Only at the start: later, the last look tells. Without a target, it is as before the library.
    if (this.view === undefined) await target.tried(0, 1_000);
    if (this.view === undefined && target.ready(0)) {
      const { answer } = target.send(call('hget', this.keys.phase, 'phase'), 'utf8', 0, DUAL_DEFAULTS.writeTimeoutMs);
      const phase = await answer.catch(() => null);
      if (phase !== null && phase !== 'source') {
        throw new Error(
          `the source has no control hash ${this.keys.phase}, but its copy on the target says phase ${JSON.stringify(phase)}`,
        );
      }
    }
    return noControl();
  }

  private record(): DualInstance {
    return {
      protocol: DUAL_WRITE_PROTOCOL,
      ...this.acknowledged,
      at: this.parts.source.nowMs(),
      host: hostname(),
      pid: process.pid,
      version: LIBRARY_VERSION,
      ...this.parts.counters(),
    };
  }
}
