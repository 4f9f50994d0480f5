/**
 * WATCH, on a connection of its own. What a watch guards is lost when its connection is, or when the phase changes the side
 * that is right; then EXEC must not run, and answers as if a key had changed.
 */
import { authorityOf } from '../../spec/dual-write.ts';
import type { DualControl } from '../../spec/dual-write.ts';
import { call } from './call.ts';
import type { Call } from './call.ts';
import { notSent } from './errors.ts';
import type { Link } from './link.ts';

class Watch {
  private readonly link: Link;
  private readonly view: DualControl;
  private readonly db: number;
  broken = false;

  constructor(link: Link, view: DualControl, db: number) {
    this.link = link;
    this.view = view;
    this.db = db;
    link.client(db, 'watch').once('close', () => {
      this.broken = true;
    });
  }

  holds(now: DualControl, db: number): boolean {
    return (
      !this.broken && db === this.db && now.epoch === this.view.epoch && authorityOf(now) === authorityOf(this.view)
    );
  }

  drop(): void {
    this.link.send(call('unwatch'), 'utf8', this.db, this.view.writeTimeoutMs, 'watch').answer.catch(() => {});
  }

  is(link: Link, db: number): boolean {
    return this.link === link && this.db === db && !this.broken;
  }
}

export class WatchState {
  private current: Watch | undefined;

  async begin(link: Link, view: DualControl, db: number, watch: Call, timeoutMs: number): Promise<unknown> {
    // A second WATCH adds keys to the first. Where the first is lost, it stays lost until EXEC or UNWATCH.
    if (this.current === undefined) this.current = new Watch(link, view, db);
    else if (!this.current.is(link, db)) return 'OK';
    await connected(link, db, timeoutMs);
    return link.send(watch, 'utf8', db, timeoutMs, 'watch').answer;
  }

  /** UNWATCH. */
  end(): Promise<'OK'> {
    this.take()?.drop();
    return Promise.resolve('OK');
  }

  /** EXEC ends it, however it ends. */
  take(): Watch | undefined {
    const { current } = this;
    this.current = undefined;
    return current;
  }
}

/** @throws DualWriteError where the connection is not there in time */
async function connected(link: Link, db: number, timeoutMs: number): Promise<void> {
  const client = link.client(db, 'watch');
  if (client.status === 'ready') return;
  await new Promise<void>((resolve, reject) => {
    const ready = (): void => {
      clearTimeout(timer);
      resolve();
    };
    const timer = setTimeout(() => {
      client.off('ready', ready);
      reject(notSent(link.trouble(db, 'watch')));
    }, timeoutMs);
    client.once('ready', ready);
  });
}
