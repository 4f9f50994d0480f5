/** Lets commands through, in the order they came, or holds them back while nothing may be sent. */
import { notSent } from './errors.ts';
import type { Settings } from './options.ts';

export type Passage = 'read' | 'write';
export type Verdict = 'go' | { refuse: Error } | { wait: string; ms: number };

interface Waiting {
  db: number;
  go(): void;
  reject(error: Error): void;
  timer: NodeJS.Timeout;
}

export class Gate {
  private readonly queues: Record<Passage, Waiting[]> = { read: [], write: [] };
  private readonly settings: Settings;
  private readonly verdict: (passage: Passage, db: number) => Verdict;

  constructor(settings: Settings, verdict: (passage: Passage, db: number) => Verdict) {
    this.settings = settings;
    this.verdict = verdict;
  }

  /** Writes that wait. */
  get held(): number {
    return this.queues.write.length;
  }

  /** `work` runs in this very turn if nothing is in the way: what is sent in one order must leave in that order. */
  pass<T>(passage: Passage, db: number, work: () => Promise<T>): Promise<T> {
    const queue = this.queues[passage];
    const verdict = this.verdict(passage, db);
    if (verdict !== 'go' && 'refuse' in verdict) return Promise.reject(verdict.refuse);
    if (verdict === 'go' && queue.length === 0) return work();
    const { wait, ms } = verdict === 'go' ? { wait: 'others wait before it', ms: this.settings.maxHoldMs } : verdict;
    if (queue.length >= this.settings.maxHeld)
      return Promise.reject(notSent(`${queue.length} wait already (maxHeld): ${wait}`));
    return new Promise<T>((resolve, reject) => {
      const one: Waiting = {
        db,
        go: () => void work().then(resolve, reject),
        reject,
        timer: setTimeout(() => {
          queue.splice(queue.indexOf(one), 1);
          const now = this.verdict(passage, db);
          reject(notSent(`it waited ${ms} ms: ${now !== 'go' && 'wait' in now ? now.wait : wait}`));
        }, ms),
      };
      queue.push(one);
    });
  }

  /** To be called whenever the verdict may have changed. */
  look(): void {
    for (const passage of ['read', 'write'] as const) {
      const queue = this.queues[passage];
      for (let next = queue[0]; next !== undefined; next = queue[0]) {
        const verdict = this.verdict(passage, next.db);
        if (verdict !== 'go' && 'wait' in verdict) break;
        queue.shift();
        clearTimeout(next.timer);
        if (verdict === 'go') next.go();
        else next.reject(verdict.refuse);
      }
    }
  }
}
